#include "detection/settings.hpp"

#include "attn/models/mask_rcnn_names.hpp"

#include "detection/model.hpp"

namespace train_detection {
namespace {

void describe(io::SettingList& list, ModelSettings& m) {
  list.group("Model");
  list("model", m.name,
       {.help = "XCiT that the detector stands on, and what else it has: as published, or tiny, for pictures of about "
                "128 pixels on a CPU",
        .words = attn::models::mask_rcnn_names(),
        .model = true});
  list(
      "activation", m.activation,
      {.help = "Activation of the attention scores; off: no attention", .words = activations().names(), .model = true});
  list("power", m.power, {.help = "Power P of the activation poly, c s^P", .range = {1, 6}, .model = true});
  list("scale", m.scale,
       {.help = "Factor c of poly: none (1), fixed (1/sqrt(number of keys)), dynamic (trained, starts as fixed)",
        .words = {"none", "fixed", "dynamic"},
        .model = true});
  list("scale-keys", m.scale_keys,
       {.help = "Keys N in the scale 1/sqrt(N) of poly; 196 is the paper's; 0: as many as a head has channels",
        .range = {0, 1e9},
        .model = true});
  list("scale-per-head", m.scale_per_head,
       {.help = "Train one scale for each head instead of one for each layer", .model = true});
  io::NumberRange const many = {1, 65536};
  list("width", m.width, {.help = "Numbers of a token (default: that of --model)", .range = many, .model = true});
  list("depth", m.depth, {.help = "Layers (default: those of --model)", .range = {1, 1000}, .model = true});
  list("heads", m.heads, {.help = "Heads (default: those of --model)", .range = many, .model = true});
  list("patch", m.patch,
       {.help = "Pixels of a patch, 8 or 16 (default: those of --model)", .range = {8, 16}, .model = true});
  list("pyramid-width", m.pyramid,
       {.help = "Channels of the pyramid (default: 256, tiny 64)", .range = many, .model = true});
  list("hidden", m.hidden, {.help = "Width of the box head (default: 1024, tiny 256)", .range = many, .model = true});
  list("mask-depth", m.mask_depth,
       {.help = "Convolutions of the mask head (default: 4, tiny 2)", .range = {0, 100}, .model = true});
  list("anchor-scale", m.anchor_scale,
       {.help = "Side of anchors in strides of their map (default: 8, tiny 4)", .range = {0.1, 1000}, .model = true});
  list("finest", m.finest,
       {.help = "Boxes below twice this side are looked up on the finest map (default: 56, tiny 14)",
        .range = {0.1, 1e6},
        .model = true});
  list("drop-path", m.drop_path, {.help = "Rate at which branches of layers are left out", .range = {0, 0.99}});
  list("precision", m.precision,
       {.help = "Numbers between layers: fp32, or bf16 with sums, weights, losses, boxes and optimizer in fp32",
        .words = {"fp32", "bf16"},
        .model = true});
}

void describe(io::SettingList& list, Recipe& r) {
  list.group("Training");
  io::NumberRange const many = {1, 1e9};
  list("epochs", r.epochs, {.help = "Epochs", .range = many});
  list("batch", r.batch, {.help = "Pictures a step", .range = many});
  list("accumulate", r.accumulate,
       {.help = "Parts that a batch is computed in, to save memory; they divide it", .range = many});
  list("lr", r.lr, {.help = "Learning rate", .range = {0, 1e3}});
  list("warmup", r.warmup, {.help = "Steps in which it grows from a thousandth", .range = {0, 1e9}});
  list("decay-epochs", r.decay_epochs, {.help = "Epochs after which it is a tenth of what it was", .range = {0, 1e9}});
  list("weight-decay", r.weight_decay, {.help = "Weight decay of all but the norms of tokens", .range = {0, 1e3}});
  list("clip", r.clip, {.help = "Limit of the gradients' norm; 0: none", .range = {0, 1e9}});
  list("anchors", r.anchors, {.help = "Anchors of a picture that are learned from", .range = many});
  list("proposals", r.proposals,
       {.help = "Proposals of a picture, in training and in use", .range = many, .model = true});
  list("regions", r.regions, {.help = "Proposals of a picture that are learned from", .range = many});
  list("eval-every", r.eval_every,
       {.help = "Steps, or a time like 10m, between evaluations (default: one after each epoch)", .decides = false});
  list("checkpoint-every", r.checkpoint_every,
       {.help = "Steps, or a time like 10m, between checkpoints (default: one after each evaluation)",
        .decides = false});
  list("log-every", r.log_every, {.help = "Steps between rows of metrics.csv", .range = many, .decides = false});
}

void describe(io::SettingList& list, DataSettings& d) {
  list.group("Data of a detector");
  list("data", d.folder,
       {.help = "Folder in COCO's layout: train2017, val2017, annotations/instances_train2017.json, "
                "instances_val2017.json",
        .decides = false});
  io::NumberRange const side = {1, 1 << 20};
  list("sides", d.sides, {.help = "Short sides that pictures are resized to, one of them at random", .range = side});
  list("most-long-side", d.most_side, {.help = "Long sides are at most this", .range = side});
  list("crop-sides", d.crop_sides, {.help = "Short sides before a part is cut out", .range = side});
  list("least-crop", d.least_crop, {.help = "Sides of that part, at least", .range = side});
  list("most-crop", d.most_crop, {.help = "Sides of that part, at most", .range = side});
  list("crops", d.crops, {.help = "How often a part is cut out", .range = {0, 1}});
  list("test-side", d.test_side, {.help = "Short side of pictures that are judged", .range = side, .model = true});
  list("test-long-side", d.test_most_side, {.help = "Their long side, at most", .range = side, .model = true});
  list("train-limit", d.limit, {.help = "Use so many training pictures; 0: all", .range = {0, 1e9}});
  list("val-limit", d.val_limit, {.help = "Judge by so many pictures; 0: all", .range = {0, 1e9}});
  list("workers", d.workers, {.help = "Threads that read pictures", .range = {1, 256}, .decides = false});
}

}  // namespace

void describe(io::SettingList& list, Settings& s) {
  list.group("Evaluation of results that are given");
  list("annotations", s.annotations,
       {.help = "Annotations in COCO's format: a file instances_*.json", .file = true, .decides = false});
  list("results", s.results,
       {.help = "Results of any detector in COCO's format: a JSON list of image_id, category_id, score, and bbox, "
                "segmentation or both",
        .file = true,
        .decides = false});
  list("evaluate", s.evaluate,
       {.help = "Compute COCO's twelve figures of --results for --annotations, or of --weights on the pictures of "
                "--data, without training",
        .decides = false});
  list("out", s.out, {.help = "Directory for what is found out; created when missing", .decides = false});

  list.group("A detector");
  list("weights", s.weights, {.help = "Weights to start from, a .safetensors file", .file = true, .decides = false});
  list("backbone-weights", s.backbone_weights,
       {.help = "Weights of a classifier of the same XCiT to start from, a .safetensors file",
        .file = true,
        .decides = false});
  list("predict", s.predict,
       {.help = "Folder of pictures that --weights are to look at; leaves predictions.json in COCO's format, and the "
                "pictures with what was found",
        .decides = false});
  list("score", s.score,
       {.help = "What is drawn into pictures has at least this score", .range = {0, 1}, .decides = false});
  list("resume", s.resume,
       {.help = "Continue the run in --out from its checkpoint, to the same bits", .decides = false});
  list("threads", s.threads,
       {.help = "Threads of the host; 0 takes all", .range = {0, double(io::most_threads)}, .decides = false});
  describe(list, s.data);
  describe(list, s.model);
  describe(list, s.recipe);

  list.group("A data set of garments");
  list("generate", s.generate,
       {.help = "Folder to write pictures of garments into, in COCO's layout: train2017, val2017, annotations",
        .decides = false});
  list("train-images", s.train_images, {.help = "Pictures to learn from", .range = {0, 1e6}, .decides = false});
  list("val-images", s.val_images, {.help = "Pictures to judge by", .range = {0, 1e6}, .decides = false});
  list("least-side", s.least_side,
       {.help = "Pixels that sides of pictures have at least", .range = {32, 4096}, .decides = false});
  list("most-side", s.most_side,
       {.help = "Pixels that sides of pictures have at most", .range = {32, 4096}, .decides = false});
  list("most-objects", s.most_objects,
       {.help = "Garments of a picture at most, besides a heap", .range = {1, 1000}, .decides = false});
  list("source", s.source,
       {.help = "Folder with IDX files of single garments (default: Fashion-MNIST)", .decides = false});
  list("seed", s.seed, {.help = "Seed of all random numbers; the same seed gives the same bits"});
}

}  // namespace train_detection
