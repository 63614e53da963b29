"""Words that people bring from other programs: what they are called here, or what does the same."""

from __future__ import annotations

from collections.abc import Collection

# What is meant -> what others call it. Case, dashes and underscores do not matter.
_FIELDS = {
    "learning_rate": "lr lr0 lrate learningrate base_lr init_lr eta max_lr",
    "final_learning_rate": "min_lr lrf eta_min final_lr",
    "epochs": "epoch num_epochs n_epochs nb_epoch max_epochs num_train_epochs ep",
    "max_steps": "steps iterations max_iter num_steps max_iterations iters",
    "batch_size": "batch bs batchsize train_batch_size per_device_train_batch_size mini_batch minibatch",
    "accumulate_steps": "accumulate grad_accum gradient_accumulation_steps grad_accumulation accumulation",
    "image_size": "imgsz img_size imagesize input_size size resolution img image_res crop_size img_sz",
    "model": "arch net network backbone architecture model_name",
    "out": "output output_dir save_dir outdir project save_path out_dir run_dir logdir log_dir",
    "data_dir": "data_root root download_dir",
    "optimizer": "opt optim optimiser",
    "schedule": "scheduler lr_scheduler sched lr_schedule lr_policy",
    "warmup_epochs": "warmup warmup_steps warmup_ratio",
    "weight_decay": "wd l2 decay regularization",
    "label_smoothing": "smoothing label_smooth",
    "ema_decay": "ema model_ema use_ema averaging",
    "early_stop_epochs": "patience early_stopping early_stop earlystopping",
    "clip_norm": "clip grad_clip clip_grad max_grad_norm gradient_clip_val clip_grad_norm",
    "val_fraction": "split test_size val_split validation_split valid_pct val_ratio val_size validation_fraction",
    "workers": "num_workers nw n_workers threads n_jobs dataloader_num_workers",
    "device": "gpu gpus cuda device_id accelerator",
    "precision": "amp fp16 half mixed_precision bf16 dtype autocast",
    "flip": "hflip fliplr horizontal_flip mirror",
    "vertical_flip": "vflip flipud",
    "alternate_flip": "altflip alternating_flip",
    "begin_size": "min_res start_size progressive_resizing",
    "final_views": "tta test_time_augmentation",
    "rotation": "degrees rotate rotation_range",
    "color_jitter": "jitter hsv colour_jitter hsv_h hsv_s hsv_v",
    "seed": "random_state random_seed manual_seed",
    "keep": "save_best save_best_only checkpoint_best monitor",
    "freeze": "frozen freeze_backbone freeze_layers",
    "layer_decay": "llrd discriminative_lr",
    "full_provenance": "full_paths",
    "top": "topk top_k k num_predictions",
    "format": "save_txt fmt output_format",
    "predictions": "save_predictions save_csv preds",
    "with_": "ensemble members",
}

_SENTENCES = {
    "pretrained finetune finetuning transfer init_weights imagenet use_pretrained": (
        "weights",
        "Published weights are begun with by weights='torchvision:IMAGENET1K_V1', those of a run by weights=RUN",
    ),
    "class_weights class_weight weighted weighted_loss pos_weight sample_weight oversample weighted_sampler "
    "imbalanced cls_pw": (
        "balance",
        "To weigh the classes by their images: balance='loss'. To visit them equally often: balance='sampler'. "
        "To adjust the logits: balance='logits'",
    ),
    "callbacks callback hooks hook logger loggers on_epoch_end tracker trackers tracking report_to log_with": (
        "track",
        "What follows a run is named by track='wandb', or from Python is an object with four methods, "
        "track=[OBJECT]; history.jsonl in the run's folder gets a line per epoch in any case, early_stop_epochs=5 "
        "stops, keep='every' keeps the weights of each epoch",
    ),
    "quiet silent verbose verbosity q v": (
        "resume",
        "Progress goes to stderr: 2>/dev/null in a shell, progress=False in Python, silence it",
    ),
    "load resume_from checkpoint ckpt ckpt_path resume_from_checkpoint exist_ok": (
        "resume",
        "To go on with the run in out=RUN: resume=True. To begin another with its weights: weights=RUN",
    ),
    "dataset data_path train_dir traindir source data": (
        "val_fraction",
        "The data stands first, without a name: residua train PHOTOS",
    ),
    "mosaic erasing random_erasing": (
        "cutout",
        "The augmentations are crop, flip, shift, rotation, shear, zoom, brightness, color_jitter, cutout, mixup, "
        "cutmix, randaugment, trivialaugment and augmix",
    ),
    "auto_augment autoaugment aa rand_augment trivial_augment ta_wide": (
        "randaugment",
        "The policies are randaugment=2 with randaugment_magnitude=9, trivialaugment=True and augmix=3",
    ),
}


def meant(word: str, known: Collection[str]) -> str:
    """Return the remedy for a word of other programs, "" where it is none.

    Args:
        word: as it was typed, with or without dashes.
        known: names of the fields that can be given here; no other is proposed.
    """
    squeezed = _squeezed(word)
    fields = {name.strip("-").replace("-", "_") for name in known}
    for field, words in _FIELDS.items():
        if field in fields and squeezed in map(_squeezed, words.split()):
            return f"Did you mean {field.rstrip('_')}=…?"
    for words, (field, sentence) in _SENTENCES.items():
        if field in fields and squeezed in map(_squeezed, words.split()):
            return sentence
    return ""


def field_called(word: str, known: Collection[str]) -> str:
    """Return the field of `known` that is called so, here or in other programs; "" for none."""
    squeezed = _squeezed(word)
    for field in known:
        if squeezed == _squeezed(field) or squeezed in map(_squeezed, _FIELDS.get(field, "").split()):
            return field
    return ""


def _squeezed(word: str) -> str:
    return word.partition("=")[0].strip("-").replace("-", "").replace("_", "").casefold()
