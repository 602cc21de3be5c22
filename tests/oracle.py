"""A model that predicts exactly the ground truth of a registered dataset."""

import numpy as np
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Boxes, Instances
from torch import nn

from imrsf_d2.data.labels import IGNORE_LABEL, semantic_truth
from imrsf_d2.data.panoptic import read_segments
from imrsf_d2.data.tasks import INSTANCE, PANOPTIC, SEMANTIC
from imrsf_d2.evaluation.masks import annotation_to_rle, rle_to_mask
from imrsf_d2.modalities import ModalitySet


class Oracle(nn.Module):
    """Knows everything, but only tells where the modality `eye` holds data (None: everywhere)."""

    def __init__(self, cfg, dataset, eye=None):
        super().__init__()
        self.modalities, self.eye, self.seen = ModalitySet.from_config(cfg), eye, []
        self.truth = {sample["image_id"]: sample for sample in DatasetCatalog.get(dataset)}
        metadata = MetadataCatalog.get(dataset)
        by_task = {INSTANCE.kind: self.instances, SEMANTIC.kind: self.label_map, PANOPTIC.kind: self.segments}
        self.predict = by_task[metadata.evaluator_type]
        self.num_classes = len(metadata.stuff_classes)

    def forward(self, inputs):
        self.seen.append(inputs[0]["modalities"])
        valid = np.array(True)
        if self.eye is not None:
            valid = inputs[0]["image"][self.modalities.validity(self.eye)].bool().numpy()
        return [self.predict(self.truth[inputs[0]["image_id"]], valid)]

    def instances(self, sample, valid):
        size = sample["height"], sample["width"]
        masks = [rle_to_mask(annotation_to_rle(annotation, *size)) for annotation in sample["annotations"]]
        result = Instances(size)
        result.pred_masks = torch.from_numpy(np.reshape(masks, (-1, *size)) * valid).float()
        result.pred_boxes, result.scores = Boxes(torch.zeros(len(masks), 4)), torch.ones(len(masks))
        result.pred_classes = torch.zeros(len(masks), dtype=torch.int64)
        return {"instances": result}

    def segments(self, sample, valid):
        ids, segments = read_segments(sample)
        ids = np.where(valid, ids, 0)
        seen = [segment for segment in segments if (ids == segment["id"]).any()]
        return {"panoptic_seg": (torch.from_numpy(ids), seen)}

    def label_map(self, sample, valid):
        truth = semantic_truth(sample)
        known = torch.from_numpy(np.where(valid & (truth != IGNORE_LABEL), truth, 0).astype(np.int64))
        return {"sem_seg": nn.functional.one_hot(known, self.num_classes).permute(2, 0, 1).float()}
