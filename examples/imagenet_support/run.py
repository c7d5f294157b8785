"""A whole run in one process: build, resume, then train, validate and save each epoch."""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.lr_scheduler import LambdaLR

from imagenet_support.checkpoint import load_checkpoint, make_folder, random_state, save_checkpoint, set_random_state
from imagenet_support.data import make_dataset, train_loader, training_classes, val_loader
from imagenet_support.distributed import Place, choose_device, gather_from_processes, process_group, share_buffers
from imagenet_support.files import UserError
from imagenet_support.meters import Meters
from imagenet_support.model import build_model, count_outputs
from imagenet_support.training import Learner, train_epoch, validate

# PyTorch's own ImageNet recipe: a tenth of the learning rate after each 30 of its 90 epochs.
EPOCHS_PER_LR_STEP = 30
LR_STEP_FACTOR = 0.1


def run(args: Namespace, place: Place) -> None:
    """Trains, or only validates, as the command line says; every process runs it.

    Raises:
        UserError: The checkpoint or the weights do not fit what was asked for.
    """
    _seed(args.seed, place.rank)
    device = choose_device(args.gpu, place)
    with process_group(place, device, args.dist_backend):
        if args.evaluate:
            Run(args, place, device).validate("validation")
        else:
            Run(args, place, device).train()


class Run:
    """The model, the validation set and the progress of one run.

    Args:
        args: The command line.
        place: This process among those that train together.
        device: What it computes on.

    Raises:
        UserError: The checkpoint or the weights do not fit what was asked for.
    """

    def __init__(self, args: Namespace, place: Place, device: torch.device) -> None:
        self._args, self._place = args, place
        self._folder = args.output_base_folder / "checkpoints"
        checkpoint = load_checkpoint(args.resume) if args.resume else None
        self._train_set = None if args.evaluate else make_dataset(args, "train")
        needed, id_base = training_classes(args)
        self._class_id_base = checkpoint["class_id_base"] if id_base is None and checkpoint else id_base
        self._val_loader = val_loader(args, place, make_dataset(args, "val", class_id_base=self._class_id_base))
        self._outputs = count_outputs(args, checkpoint, needed)
        self._epoch = _first_epoch(args, checkpoint)
        self._best_top1 = checkpoint["best_top1"] if checkpoint else 0.0
        self._learner = self._build(device, checkpoint)
        self._restored = checkpoint["random_states"] if checkpoint else None

    def _build(self, device: torch.device, checkpoint: dict[str, Any] | None) -> Learner:
        args = self._args
        model = build_model(args, self._outputs, checkpoint, self._place).to(device)
        optimizer = torch.optim.SGD(model.parameters(), args.lr, args.momentum, weight_decay=args.wd)
        for group in optimizer.param_groups:
            group["initial_lr"] = args.lr  # what a scheduler that begins at a later epoch reckons from
        if checkpoint:
            optimizer.load_state_dict(checkpoint["optimizer"])
        scheduler = LambdaLR(optimizer, _lr_factor, last_epoch=self._epoch - 1)
        return Learner(model, self._for_training(model, device), optimizer, scheduler, device)

    def _for_training(self, model: nn.Module, device: torch.device) -> nn.Module:
        if self._place.world_size == 1 or self._args.evaluate:
            return model
        return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)

    def train(self) -> None:
        """Trains up to the last epoch; validates and saves after each.

        Raises:
            UserError: No epoch is left to train, or the folder for checkpoints cannot be made.
        """
        if self._epoch >= self._args.epochs:
            raise UserError(f"{self._epoch} epochs are trained already: for more, raise --epochs {self._args.epochs}")
        make_folder(self._folder)
        loader, sampler = train_loader(self._args, self._place, self._train_set)
        self._restore_random_state()
        while self._epoch < self._args.epochs:
            title = f"epoch {self._epoch + 1}/{self._args.epochs}"
            if sampler is not None:
                sampler.set_epoch(self._epoch)
            self._tell(title, train_epoch(self._learner, loader, self._reporter(title, len(loader))))
            self._learner.scheduler.step()
            share_buffers(self._learner.model)
            self._save(self.validate(f"{title} validation").top1.value)

    def validate(self, title: str) -> Meters:
        """Measures the model on the validation set and prints the result."""
        meters = validate(self._learner, self._val_loader, self._reporter(title, len(self._val_loader)))
        self._tell(title, meters)
        return meters

    def _save(self, top1: float) -> None:
        self._epoch += 1
        is_best = top1 >= self._best_top1
        self._best_top1 = max(top1, self._best_top1)
        random_states = gather_from_processes(random_state())
        if self._place.rank == 0:
            state = {
                "arch": self._args.arch,
                "num_classes": self._outputs,
                "class_id_base": self._class_id_base,
                "epoch": self._epoch,
                "best_top1": self._best_top1,
                "model": self._learner.model.state_dict(),
                "optimizer": self._learner.optimizer.state_dict(),
                "random_states": random_states,
            }
            save_checkpoint(self._folder, state, is_best)

    def _restore_random_state(self) -> None:
        if self._restored is None:
            return
        if len(self._restored) == self._place.world_size:
            set_random_state(self._restored[self._place.rank])
        elif self._place.rank == 0:
            print(f"the checkpoint is of {len(self._restored)} processes: its random states are left out")

    def _reporter(self, title: str, steps: int) -> Callable[[Meters, int], None]:
        def report(meters: Meters, step: int) -> None:
            if self._place.rank == 0 and step % self._args.print_freq == 0:
                print(meters.line(title, step, steps), flush=True)

        return report

    def _tell(self, title: str, meters: Meters) -> None:
        if self._place.rank == 0:
            print(meters.summary(title), flush=True)


def _seed(seed: int | None, rank: int) -> None:
    """Seeds every generator; each process differently, or all would augment alike."""
    torch.backends.cudnn.deterministic = seed is not None
    torch.backends.cudnn.benchmark = seed is None
    if seed is not None:
        random.seed(seed + rank)
        np.random.seed(seed + rank)
        torch.manual_seed(seed + rank)


def _lr_factor(epoch: int) -> float:
    return float(LR_STEP_FACTOR ** (epoch // EPOCHS_PER_LR_STEP))


def _first_epoch(args: Namespace, checkpoint: dict[str, Any] | None) -> int:
    if args.start_epoch is not None:
        return int(args.start_epoch)
    return int(checkpoint["epoch"]) if checkpoint else 0
