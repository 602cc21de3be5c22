"""Each object once: what overlapping windows found, put together while the windows come in.

Two detections of different windows are compared only where both windows looked. Those that agree there are linked, and
linked ones form a group. A group is closed as soon as no later window can touch one of its members, so memory follows the
front of the windows and not the scene. It is one object, unless a window saw two: where a model takes two buildings for one
in one window and not in the next, what agrees most belongs together. All windows that saw an object have a say in its score,
those that did not find it, too: what one window makes up and the next does not see is no object of a map.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from imrsf_d2.inference.detections import Detection, box_overlaps, overlap_iou
from imrsf_d2.inference.pieces import join_pieces
from imrsf_d2.inference.windows import Window, WindowGrid

__all__ = ["MergedObject", "merge"]

#: A mask that comes this close to its window's border may be cut by it, px.
BORDER_PX = 2
#: A window has seen an extent whole if this much lies around it, px: more than makes a mask whole, as masks of one object
#: differ by a pixel or two from window to window, and what is whole in none must not be lost.
SEEN_PX = 2 * BORDER_PX
#: Detections are linked at this IoU where both windows looked; whole ones, which neither border spoils, at the second.
#: Not at intersection over smaller: that fuses row houses.
LINK_IOU, LINK_IOU_WHOLE = 0.5, 0.3
#: A window has a say in an object's score if it saw at least this share of its pixels.
SAY = 0.9


@dataclass(frozen=True, eq=False)
class MergedObject:
    """An object of the scene.

    Args:
        label: class index.
        score: 0 to 1, the mean over the windows that saw the object (see `SAY`), 0 for each that did not find it; of one that
            is too large for any window, the best of its pieces.
        top, left: of the mask in the scene.
        mask: [h, w] bool.
        sensors: see `Detection`.
        cut: True if it touches the scene's border.
    """

    label: int
    score: float
    top: int
    left: int
    mask: np.ndarray
    sensors: int
    cut: bool


@dataclass(eq=False)
class _Node:
    """A detection, the group that it is in (union-find), the earlier detections that it is linked with, by IoU, and the whole
    ones among all that it is linked with if it is whole."""

    detection: Detection
    window: Window
    whole: bool
    parent: _Node | None = None
    members: list[_Node] = field(default_factory=list)
    links: list[tuple[float, _Node]] = field(default_factory=list)
    peers: list[_Node] = field(default_factory=list)

    def release(self) -> None:
        """Let go of others, which hold this one: in a circle, masks would stay in memory until Python looks for circles."""
        self.parent = None
        self.members, self.links, self.peers = [], [], []

    def root(self) -> _Node:
        node = self
        while node.parent is not None:
            node = node.parent
        if node is not self:
            self.parent = node
        return node


class _Seen:
    """What a window saw, and the boxes of it, [n, 4] of top, left, bottom, right."""

    def __init__(self, window: Window, nodes: list[_Node]):
        self.window, self.nodes = window, nodes
        self.boxes = np.array([(n.detection.top, n.detection.left, n.detection.bottom, n.detection.right) for n in nodes])


def merge(windows: WindowGrid, found: Iterable[tuple[int, Sequence[Detection] | None]]) -> Iterator[list[MergedObject]]:
    """Put the detections of all windows together.

    Args:
        windows: of the scene.
        found: the detections of each window that was looked at, best score first, by ascending index of the window;
            windows that nothing was looked for in may be left out. None for detections says that this window is the next one
            to be looked at: what it cannot touch is final.

    Yields:
        Objects, each once, as soon as no later window can change them, in an order that depends on the detections alone;
        some at a time: all that the next row of windows cannot change.
    """
    front, row = _Front(windows), 0
    for index, detections in found:
        # Row by row even where windows are left out, so that the order of the objects does not depend on it.
        while row < len(windows.tops) and windows.tops[row] <= windows[index].top:
            if final := list(front.close(before=windows.tops[row])):
                yield final
            row += 1
        if detections is not None:
            front.add(windows[index], detections)
    if final := list(front.close(before=None)):
        yield final


class _Front:
    """The groups that windows to come may still add to."""

    def __init__(self, windows: WindowGrid):
        self.windows = windows
        #: first row -> first column -> the detections of a window that others may still overlap
        self.rows: dict[int, dict[int, _Seen]] = defaultdict(dict)
        self.groups: dict[_Node, None] = {}  # their roots, in order of appearance
        self.looked: set[int] = set()

    def add(self, window: Window, detections: Sequence[Detection]) -> None:
        """Link a window's detections with those of the windows before it."""
        nodes = [_Node(detection, window, _is_whole(detection, window, self.windows)) for detection in detections]
        for node in nodes:
            node.members.append(node)
            self.groups[node] = None
        seen = _Seen(window, nodes)
        for top, row in self.rows.items():
            if top + window.size <= window.top:
                continue
            for left, others in row.items():
                if abs(left - window.left) < window.size:
                    self._link(seen, others)
        self.rows[window.top][window.left] = seen
        self.looked.add(window.index)

    def close(self, before: int | None) -> Iterator[MergedObject]:
        """The objects that no window from row `before` on can touch; all if None."""
        done = []
        for root in self.groups:
            if before is None or all(node.window.bottom <= before for node in root.members):
                done.append(root)
        for root in done:
            del self.groups[root]
        objects = [(min((n.detection.window, n.detection.number) for n in root.members), root) for root in done]
        for _, root in sorted(objects, key=lambda pair: pair[0]):
            yield from self._objects(root.members)
            for node in [*root.members]:
                node.release()
        if before is not None:
            for top in [top for top in self.rows if top + self.windows.size <= before]:
                del self.rows[top]
            # Windows whose extent an open group may still reach are kept: those that lie in open rows or share them.
            oldest = min((node.window.top for root in self.groups for node in root.members), default=before)
            self.looked = {i for i in self.looked if self.windows[i].bottom > oldest - self.windows.size}

    def _link(self, these: _Seen, those: _Seen) -> None:
        if not these.nodes or not those.nodes:
            return
        one, other = these.window, those.window
        area = (
            max(one.top, other.top),
            max(one.left, other.left),
            min(one.bottom, other.bottom),
            min(one.right, other.right),
        )
        meet = box_overlaps(_within(these.boxes, area), _within(those.boxes, area)) > 0
        for i, j in zip(*(side.tolist() for side in np.nonzero(meet))):
            a, b = these.nodes[i], those.nodes[j]
            if a.detection.label != b.detection.label:
                continue
            needed = LINK_IOU_WHOLE if a.whole and b.whole else LINK_IOU
            iou = overlap_iou(a.detection, b.detection, area)
            if iou >= needed:
                a.links.append((iou, b))
                if a.whole and b.whole:
                    a.peers.append(b)
                    b.peers.append(a)
                self._unite(a.root(), b.root())

    def _unite(self, one: _Node, other: _Node) -> None:
        if one is other:
            return
        if len(one.members) < len(other.members):
            one, other = other, one
        other.parent = one
        one.members += other.members
        other.members = []
        del self.groups[other]

    def _objects(self, members: Sequence[_Node]) -> Iterator[MergedObject]:
        """What a group is: of the whole members of an object the one farthest from its window's border, or its pieces joined."""
        for alike in _split(members):
            whole = [node for node in alike if node.whole]
            for seen in _clusters(whole):
                best = min(seen, key=lambda n: (-_distance(n, self.windows), *_order(n))) if len(seen) > 1 else seen[0]
                d = best.detection
                yield self._object(alike, d, d.top, d.left, d.mask)
            if not whole:
                yield from self._joined(alike)

    def _joined(self, members: Sequence[_Node]) -> Iterator[MergedObject]:
        """The pieces of an object as one, unless they are ghosts: a window that could have seen it whole did not."""
        pieces = [node.detection for node in members]
        extent = (
            min(d.top for d in pieces),
            min(d.left for d in pieces),
            max(d.bottom for d in pieces),
            max(d.right for d in pieces),
        )
        if self._seen_whole(*extent):
            return
        joined = join_pieces([(node.window, node.detection) for node in members], self.windows)
        if joined is None:
            return
        largest = max(pieces, key=lambda d: (np.count_nonzero(d.mask), -d.window, -d.number))
        yield self._object(members, largest, *joined)

    def _object(self, members: Sequence[_Node], largest: Detection, top: int, left: int, mask: np.ndarray) -> MergedObject:
        score = self._score(members, top, left, mask)
        return MergedObject(largest.label, score, top, left, mask, largest.sensors, self._touches_border(top, left, mask))

    def _score(self, members: Sequence[_Node], top: int, left: int, mask: np.ndarray) -> float:
        """The mean score of an object over the windows that were looked at and saw it, found in them or not."""
        found = {node.detection.window: node.detection.score for node in members}
        needed = SAY * np.count_nonzero(mask)
        scores = []
        if needed <= self.windows.size**2:
            for window in self.windows.touching(top, left, top + mask.shape[0], left + mask.shape[1]):
                rows = slice(max(window.top - top, 0), window.bottom - top)
                seen = mask[rows, max(window.left - left, 0) : window.right - left]
                if window.index in self.looked and np.count_nonzero(seen) >= needed:
                    scores.append(found.get(window.index, 0.0))
        return math.fsum(scores) / len(scores) if scores else max(found.values())

    def _seen_whole(self, top: int, left: int, bottom: int, right: int) -> bool:
        """Whether a window that was looked at holds an extent and all around it that would make a mask in it whole."""
        windows = self.windows
        if bottom - top > windows.size or right - left > windows.size:
            return False
        return any(
            window.index in self.looked and _is_inside(top, left, bottom, right, window, windows, SEEN_PX)
            for window in windows.touching(top, left, bottom, right)
        )

    def _touches_border(self, top: int, left: int, mask: np.ndarray) -> bool:
        height, width = mask.shape
        return top <= 0 or left <= 0 or top + height >= self.windows.height or left + width >= self.windows.width


def _order(node: _Node) -> tuple[int, int]:
    return node.detection.window, node.detection.number


def _split(members: Sequence[_Node]) -> list[list[_Node]]:
    """The members of a group by the object that they are of: the best agreement first, and none joins two detections of
    one window. Each is in the order of its windows, and so are they by their first."""
    if len(members) == 1:
        return [[*members]]
    owner = {node: [node] for node in members}
    links = [(iou, earlier, node) for node in members for iou, earlier in node.links]
    for _, one, other in sorted(links, key=lambda link: (-link[0], _order(link[1]), _order(link[2]))):
        mine, theirs = owner[one], owner[other]
        if mine is theirs or {n.detection.window for n in mine} & {n.detection.window for n in theirs}:
            continue
        mine += theirs
        for node in theirs:
            owner[node] = mine
    objects = {id(nodes): sorted(nodes, key=_order) for nodes in owner.values()}
    return sorted(objects.values(), key=lambda nodes: _order(nodes[0]))


def _clusters(whole: Sequence[_Node]) -> Iterator[list[_Node]]:
    """Whole members of an object that are linked without the help of pieces: a sliver at a window's border agrees with each
    of two row houses, and must not make one of them."""
    among, seen = set(whole), set[_Node]()
    for node in whole:
        if node not in seen:
            cluster, waiting = [], [node]
            seen.add(node)
            while waiting:
                cluster.append(one := waiting.pop())
                new = [peer for peer in one.peers if peer in among and peer not in seen]
                seen.update(new)
                waiting += new
            yield cluster


def _within(boxes: np.ndarray, area: tuple[int, int, int, int]) -> np.ndarray:
    """The parts of boxes [n, 4] that lie in an area; empty ones end before they begin."""
    return np.concatenate([np.maximum(boxes[:, :2], area[:2]), np.minimum(boxes[:, 2:], area[2:])], axis=1)


def _is_inside(top: int, left: int, bottom: int, right: int, window: Window, windows: WindowGrid, margin: int) -> bool:
    """Whether an extent keeps more than a margin from each border of a window that is not the scene's border."""
    return (
        (top - window.top > margin or (window.top == 0 and top >= 0))
        and (left - window.left > margin or (window.left == 0 and left >= 0))
        and (window.bottom - bottom > margin or (window.bottom >= windows.height and bottom <= window.bottom))
        and (window.right - right > margin or (window.right >= windows.width and right <= window.right))
    )


def _is_whole(detection: Detection, window: Window, windows: WindowGrid) -> bool:
    return _is_inside(detection.top, detection.left, detection.bottom, detection.right, window, windows, BORDER_PX)


def _distance(node: _Node, windows: WindowGrid) -> int:
    """How far a mask keeps from the borders of its window that are not the scene's, px."""
    d, w = node.detection, node.window
    sides = [windows.size]
    if w.top > 0:
        sides.append(d.top - w.top)
    if w.left > 0:
        sides.append(d.left - w.left)
    if w.bottom < windows.height:
        sides.append(w.bottom - d.bottom)
    if w.right < windows.width:
        sides.append(w.right - d.right)
    return min(sides)
