"""What is installed here: detectron2, Mask2Former, the attention op, the machine; and how we get along with it."""
