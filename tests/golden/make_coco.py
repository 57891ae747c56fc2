"""Golden data of COCO's formats and figures: polygons with the masks that they become, and small sets of annotations and
results with the twelve figures each of boxes and masks, as pycocotools computes them.

Run: python make_coco.py [--check]
"""

import contextlib
import copy
import io
import json

import numpy as np
from pycocotools import mask as masks
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import golden


def draw_polygon(rng, height, width, kind):
    """Corners around a centre; of kind `any` wherever they fall, outside of the picture too."""
    corners = rng.randint(3, 9)
    if kind == "any":
        points = rng.uniform(-0.3, 1.3, (corners, 2)) * (width, height)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        centre, radius = rng.uniform(0.2, 0.8, 2) * (width, height), rng.uniform(0.1, 0.5) * min(height, width)
        points = centre + radius * rng.uniform(0.5, 1, (corners, 1)) * np.stack([np.cos(angles), np.sin(angles)], -1)
    if kind == "whole":
        points = np.round(points)
    elif kind == "tenths":  # where rounding to fifths is a tie
        points = np.round(points * 10) / 10
    if corners > 3 and rng.rand() < 0.2:
        points[1] = points[0]
    return [float(v) for v in np.round(points.ravel(), 3)]


def union(polygons, height, width):
    return masks.merge(masks.frPyObjects(polygons, height, width))


def uncompressed(rle):
    """Run lengths as a list."""
    pixels = masks.decode(rle).ravel(order="F")
    ends = np.flatnonzero(np.diff(np.concatenate([[0], pixels])) != 0).tolist() + [pixels.size]
    return {"size": list(rle["size"]), "counts": [int(n) for n in np.diff([0] + ends)]}


def polygon_cases(rng, count):
    """A line for each case: height, width, polygons (how many numbers, the numbers), text, area, box, and the IoU with
    the mask of the line before, as an object and as a crowd. Lines come in groups of one size."""
    lines, before = "", None
    for i in range(count):
        if i % 8 == 0:
            height, width, before = rng.randint(1, 40), rng.randint(1, 40), None
        kind = ("any", "round", "whole", "tenths")[rng.randint(4)]
        polygons = [draw_polygon(rng, height, width, kind) for _ in range(rng.randint(1, 4))]
        rle = union(polygons, height, width)
        ious = [masks.iou([rle], [before or rle], [crowd])[0, 0] for crowd in (0, 1)]
        fields = [height, width, len(polygons)]
        for polygon in polygons:
            fields += [len(polygon)] + polygon
        fields += [rle["counts"].decode(), int(masks.area(rle))] + masks.toBbox(rle).tolist() + ious
        lines += " ".join(str(float(f)) if isinstance(f, float) else str(f) for f in fields) + "\n"
        before = rle
    return lines


def draw_case(rng, images=4, categories=3, objects=5, detections=8, kinds=("bbox", "segm"), odd=True, most=140):
    """Annotations and results. With `odd`, what should not be: ids twice or 0, categories and images that there are not."""
    sizes = [(int(rng.randint(20, most)), int(rng.randint(20, most))) for _ in range(images)]
    image_ids = [int(i) for i in rng.permutation(10 * images)[:images] + 1]
    category_ids = sorted(int(i) for i in rng.permutation(91)[:categories] + 1)
    annotations, results = [], []

    def draw_box(height, width):
        shape = np.exp(rng.uniform(np.log(4), np.log(max(height, width)), 2))
        corner = rng.uniform(-0.1, 0.9, 2) * (width, height)
        digits = rng.randint(0, 3)
        return [round(float(v), int(digits)) for v in (*corner, *shape)]

    def outline(box, t):
        x, y, w, h = box
        return [round(float(v), 2) for v in (x + t[0] * w, y, x + w, y + t[1] * h, x + t[2] * w, y + h, x, y + t[3] * h)]

    for image, (height, width) in zip(image_ids, sizes):
        boxes = [draw_box(height, width) for _ in range(rng.randint(0, objects + 1))]
        forms = [rng.uniform(0, 1, 4) for _ in boxes]
        category_of = [int(rng.choice(category_ids)) for _ in boxes]
        for box, form, category in zip(boxes, forms, category_of):
            polygons = [outline(box, form)] + ([outline(draw_box(height, width), form)] if rng.rand() < 0.1 else [])
            rle = union(polygons, height, width)
            crowd = int(rng.rand() < 0.15)
            segmentation = uncompressed(rle) if crowd or rng.rand() < 0.1 else polygons
            area = float(masks.area(rle)) if rng.rand() < 0.7 else round(box[2] * box[3], 3)
            annotations.append({"id": len(annotations) + 1, "image_id": image, "category_id": category,
                                "bbox": box, "area": area, "iscrowd": crowd, "segmentation": segmentation})
            if rng.rand() < 0.1:
                annotations[-1]["ignore"] = 1
        for _ in range(rng.randint(detections // 2, detections + 1)):
            box, form, category = draw_box(height, width), rng.uniform(0, 1, 4), int(rng.choice(category_ids))
            if boxes and rng.rand() < 0.7:
                i = rng.randint(len(boxes))
                box, form = list(boxes[i]), forms[i]
                category = category_of[i] if rng.rand() < 0.8 else category
            if rng.rand() < 0.8:
                noise = rng.choice([0.01, 0.04, 0.1])
                box = [round(float(v), 2) for v in np.array(box) + rng.normal(0, noise, 4) * max(box[2], box[3])]
                box[2:] = [max(v, 0.0) for v in box[2:]]
            result = {"image_id": image, "category_id": category, "score": round(float(rng.rand()), int(rng.randint(1, 4)))}
            if "bbox" in kinds:
                result["bbox"] = box
            if "segm" in kinds:
                result["segmentation"] = union([outline(box, form)], height, width)
                result["segmentation"]["counts"] = result["segmentation"]["counts"].decode()
            results.append(result)
    results = [results[i] for i in rng.permutation(len(results))]
    listed = [{"id": i, "file_name": f"{i:012}.jpg", "height": h, "width": w} for i, (h, w) in zip(image_ids, sizes)]
    listed = [listed[i] for i in rng.permutation(images)]
    if odd and annotations:
        for a in rng.choice(annotations, min(4, len(annotations)), replace=False):
            kind = rng.randint(6)
            if kind == 0:  # but for one of no image, which the reference fails on
                a["id"] = int(rng.choice([b for b in annotations if b["image_id"] != 4711] or [a])["id"])
            elif kind == 1:
                a["id"] = 0
            elif kind == 2:
                a["category_id"] = 99
            elif kind == 3:
                a["image_id"], a["id"] = 4711, 900000000000 + a["id"]
            elif kind == 4:
                a["bbox"] = [a["bbox"][0], a["bbox"][1], 0, 0]
            else:
                a["area"] = 0.0
        if results:
            rng.choice(results)["category_id"] = 98
        listed.append(dict(listed[0]))
    names = [{"id": c, "name": f"kind {c}"} for c in category_ids]
    return {"images": listed, "categories": names, "annotations": annotations}, results


def figures_of(annotations, results, kind):
    """The twelve figures, from copies: pycocotools writes into what it is given."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = json.loads(json.dumps(annotations))
        truth.createIndex()
        if results:
            found = truth.loadRes(json.loads(json.dumps(results)))
        else:  # which loadRes does not take
            found = COCO()
            found.dataset = {**copy.deepcopy(truth.dataset), "annotations": []}
            found.createIndex()
        evaluation = COCOeval(truth, found, kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [float(v) for v in evaluation.stats]


def main():
    store = golden.Store("coco", __doc__)
    store.text("polygons.txt", polygon_cases(np.random.RandomState(1), 96))
    cases = {
        "plain": dict(odd=False),
        "odd": dict(images=6),
        "many": dict(images=2, categories=1, objects=8, detections=130, kinds=("bbox",)),
        "masks": dict(kinds=("segm",)),
        "empty": dict(detections=0),
    }
    figures = {}
    for seed, (case, options) in enumerate(cases.items()):
        annotations, results = draw_case(np.random.RandomState(seed + 10), **options)
        kinds = options.get("kinds", ()) if options.get("kinds") == ("bbox",) else ("bbox", "segm")
        figures[case] = {kind: figures_of(annotations, results, kind) for kind in kinds}
        store.text(f"{case}_annotations.json", json.dumps(annotations) + "\n")
        store.text(f"{case}_results.json", json.dumps(results) + "\n")
        print(case, len(annotations["annotations"]), "annotations,", len(results), "results:",
              {kind: [round(v, 3) for v in values] for kind, values in figures[case].items()})
    store.text("figures.json", json.dumps(figures, indent=1) + "\n")
    store.close()


if __name__ == "__main__":
    main()
