"""The training loop of a GAN, with its snapshots and resume points. Exact on a CPU wherever it was interrupted."""

import dataclasses
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from classifiers.device_set import on_host
from classifiers.parts import set_lr
from classifiers.recorder import Recorder, wanted
from ganfer.config import GanConfig
from ganfer.data.sheets import save_sheet
from ganfer.errors import GanferError
from ganfer.gan.ada import adapt, fresh_ada
from ganfer.gan.alarms import collapse_alarms, discriminator_alarm, memorisation_alarm
from ganfer.gan.batches import Batches
from ganfer.gan.checkpoint import NUM_SUMS, Best, Saver, State
from ganfer.gan.diffaugment import diff_augment, parse_policies
from ganfer.gan.ema import average_of, recalibrate, update_average
from ganfer.gan.guide import Guide
from ganfer.gan.history import Journal
from ganfer.gan.losses import LOSSES, gradient_penalty
from ganfer.gan.networks import NetworkSpec, build_discriminator, build_generator
from ganfer.gan.overfitting import overfitting
from ganfer.gan.plan import TrainingPlan
from ganfer.gan.sampling import FILE, GanGenerator, save_generator
from ganfer.gan.snapshots import SnapshotScorer
from ganfer.gan.stylegan2 import write_bridge_file
from ganfer.gan.transfer import Start, release
from ganfer.metrics import features
from ganfer.runtime import ranks
from ganfer.runtime.console import Advance, progress, say
from ganfer.runtime.device import wide_float
from ganfer.runtime.gradients import GradientMean
from ganfer.tracking import Tracked
from ganfer.version import __version__
from ganfer.workspace import Run

CHECKPOINT = "checkpoint.pt"
LOG_EVERY = 25  # steps per logged row; losses are read from the device no more often than that
AGREE_EVERY = 10  # steps between agreements of several processes
_RECALIBRATION = 10_000_000  # batches for batch-norm statistics are drawn from steps that no training reaches
_RECALIBRATION_BATCHES = 16
_BURN_IN = 10.0  # by how much both penalties are stronger at the start, as in Huang et al. 2024
_RISE = 100  # steps over which the learning rates rise


class Training:
    """One training: what does not change while it runs, its `state`, and the loop."""

    def __init__(
        self, run: Run, config: GanConfig, seed: int, plan: TrainingPlan, spec: NetworkSpec, fabric: Fabric,
        guide: Guide | None, began: float, precision: str, track: Tracked, start: Start | None = None,
    ) -> None:  # fmt: skip
        """began: when this process started to train, the guide included, on the monotonic clock: budgets count it.

        precision: what the setting comes to here (`ganfer.gan.settle`). start: a parent's weights.
        """
        self.precision = precision
        self.run, self.config, self.seed, self.plan, self.spec, self.fabric = run, config, seed, plan, spec, fabric
        self.guide = guide
        self.device = fabric.device
        self.policies = parse_policies(config.augment)
        self.batches = Batches(
            plan.images, plan.labels, len(plan.names), balance=config.balance, latent_dim=spec.latent_dim,
            batch_size=own_batch(config.batch_size), flip=config.flip, seed=seed, device=self.device,
            pool=plan.pool,
        )  # fmt: skip
        self._frozen = start.frozen if start else frozenset()
        self.scorer = SnapshotScorer(plan, self.device)
        self.recorder = Recorder(self.device, [self.batches.rng], active=self._can_be_recorded())
        self._strength = torch.zeros((), device=self.device)
        self.state = new_state(spec, config, seed, fabric, start)
        self.state.arithmetic = precision
        self.saver = Saver(run.path / CHECKPOINT, aside=self.device.type == "cuda")
        if self.saver.path.is_file():
            before = self.state.load(self.saver.path)
            other = f", in {precision}; until here it was {before}" if before != precision else ""
            say(f"Resuming at step {self.state.step:,} of {config.steps:,}{other}.")
        track.start({"gan": dataclasses.asdict(config), "seed": seed}, self.state.step)
        self.journal = Journal(run.path, plan.names, track, silent=not ranks.leads())
        self.means = GradientMean(self.state.generator), GradientMean(self.state.discriminator)
        self._agreed: tuple[float, float] | None = None  # of several processes: the leader's clock, its snapshots' time
        self._began, self._seconds_before = began, self.state.seconds
        self._saved = time.monotonic()
        self._snapshot_seconds = 0.0

    def train(self, stop: Callable[[], bool]) -> None:
        """The loop. `stop` is asked between steps: then the state is saved and KeyboardInterrupt raised.

        Several processes draw a part of every batch each and average their gradients, so their networks stay equal;
        the leader alone logs, judges and saves.
        """
        self._agree(False)
        try:
            self._steps(stop)
        finally:  # the resume point that a thread is writing may be the last one
            self.saver.wait()

    def _steps(self, stop: Callable[[], bool]) -> None:
        """The loop, from the state's step to the end."""
        config, state = self.config, self.state
        with progress(bar_of(config), config.steps) as advance:
            advance(state.step)
            while state.step < config.steps and not self._out_of_time():
                strength = self.conditioning()
                self._set_learning_rates()
                self.batches.seed_step(state.step)
                torch.manual_seed(
                    self.batches.rng.initial_seed()
                )  # for what networks draw themselves: StyleGAN2's noise
                penalise = config.regulariser in ("r1", "r1r2") and state.step % config.r1_interval == 0
                self.recorder(penalise, partial(self._step, self._as_tensor(strength), penalise))
                state.step += 1
                update_average(
                    state.average, state.generator, batch_size=config.batch_size,
                    images_seen=state.step * config.batch_size, half_life=config.ema_half_life,
                )  # fmt: skip
                self._bookkeeping(advance, strength)
                if self._agree(stop()):
                    self._save()
                    raise KeyboardInterrupt
        if ranks.leads() and (state.best is None or state.step % config.snapshot_every):
            self._snapshot(self.conditioning())
        self.journal.write(state.history, last=True)

    def _step(self, strength: float | Tensor, penalise: bool) -> Tensor:
        """One update of both networks, from the batch that `batches.rng` stands before; returns the generator's loss.

        Nothing here may ask the device for a value: the step is recorded where that is possible.
        """
        config, state, fabric, guide = self.config, self.state, self.fabric, self.guide
        generator, discriminator, loss = state.generator, state.discriminator, LOSSES[config.loss]
        separate = bool(discriminator.batch_statistics)  # batch statistics of real and fake images must not mix
        probability = state.ada[0] if config.ada_target else None  # a view: it changes with the state
        batch = self.batches.draw_next()
        augment = partial(diff_augment, policies=self.policies, rng=self.batches.rng, probability=probability)
        counts = batch.conditioning(strength)  # the class, for each image; for those without a label not at all
        discriminate = partial(discriminator, labels=batch.labels, strength=counts)

        # one pass of the generator serves both updates
        with fabric.autocast():
            fake = generator(batch.z, batch.labels, counts)
        fake = fake.float()  # as the real images are: augmented alike, and penalised outside autocast

        real_in, fake_in = augment(batch.real), augment(fake.detach())
        with fabric.autocast():
            if separate:
                real_logits, fake_logits = discriminate(real_in), discriminate(fake_in)
            else:
                both = discriminator(torch.cat([real_in, fake_in]), batch.labels.repeat(2), twice(counts))
                real_logits, fake_logits = both.chunk(2)
        loss_d = loss.discriminator(real_logits.float(), fake_logits.float())
        total_d = loss_d
        if penalise:
            penalty = gradient_penalty(discriminate, real_in)
            if config.regulariser == "r1r2":
                penalty = penalty + gradient_penalty(discriminate, fake_in)
                penalty = penalty * _BURN_IN ** (1 - strength)
            total_d = loss_d + (0.5 * config.r1_gamma * config.r1_interval) * penalty
        state.optimizer_d.zero_grad(set_to_none=True)
        fabric.backward(total_d)
        self.means[1].finish()
        state.optimizer_d.step()

        # the discriminator's own gradients would be thrown away, so they are not computed
        discriminator.requires_grad_(False)
        try:
            with fabric.autocast():
                fake_again = augment(fake)
                logits = discriminate(fake_again)
                real_again = discriminate(real_in) if loss.paired else None
                guided = guide.loss(fake_again, batch.labels, batch.known) if guide else torch.zeros_like(loss_d)
            loss_g = loss.generator(logits.float(), real_again)
            state.optimizer_g.zero_grad(set_to_none=True)
            fabric.backward(loss_g + (config.guidance * strength) * guided)
            self.means[0].finish()
            state.optimizer_g.step()
        finally:  # a step that cannot be recorded breaks off here, and then runs plainly
            release(discriminator, self._frozen)

        if probability is not None:
            adapt(state.ada, real_logits, fake_logits, target=config.ada_target, paired=loss.paired)
        seen = (loss_d, loss_g, real_logits, fake_logits, guided)
        state.sums += torch.stack([t.detach().mean() for t in seen])
        return loss_g.detach()

    def _can_be_recorded(self) -> bool:
        """Whether steps wait neither for the host nor for other processes; said where they do."""
        if not wanted(self.device):
            return False
        reason = "the images do not fit on the GPU" if self.batches.images is None else ""
        reason = "there are several processes" if ranks.count() > 1 else reason
        if reason:
            say(f"Steps are not recorded as CUDA graphs, since {reason}: they run plainly.")
        return not reason

    def _as_tensor(self, strength: float) -> float | Tensor:
        """The conditioning as the step takes it: where steps are recorded in a tensor that stays the same one."""
        return self._strength.fill_(strength) if self.recorder.active else strength

    def conditioning(self) -> float:
        """How far the class counts, 0..1: rises linearly over the first `transition` of the training."""
        if self.config.transition == 0:
            return 1.0
        return min(1.0, self._progress() / self.config.transition)

    def _set_learning_rates(self) -> None:
        """From the full rates down to `lr_final` of them, along a cosine; without momentum they rise to them first.

        Adam's first steps change every weight by the whole rate, whatever its gradient, and the discriminator may win
        before the generator has drawn anything.
        """
        left = self.config.lr_final + (1 - self.config.lr_final) * (1 + math.cos(math.pi * self._progress())) / 2
        if self.config.beta1 == 0:
            left *= min(1.0, (self.state.step + 1) / _RISE)
        for optimizer, rate in (
            (self.state.optimizer_g, self.config.lr_generator),
            (self.state.optimizer_d, self.config.lr_discriminator),
        ):
            for group in optimizer.param_groups:
                set_lr(group, left * rate, self.recorder.active, self.device)

    def _progress(self) -> float:
        """Share of the training done: by steps or, with a time budget, by the clock where that is further on."""
        by_clock = self._elapsed() / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.state.step / self.config.steps, by_clock)

    def _elapsed(self) -> float:
        own = self._seconds_before + time.monotonic() - self._began
        return own if self._agreed is None else self._agreed[0]

    def _out_of_time(self) -> bool:
        """Whether the budget leaves time for no more than the last snapshot."""
        needed = self._snapshot_seconds if self._agreed is None else self._agreed[1]
        return bool(self.config.minutes) and self._elapsed() + needed >= 60 * self.config.minutes

    def _agree(self, stop: bool) -> bool:
        """Whether to stop: when the leader was asked to. All processes then also go by the leader's clock.

        Several processes agree at every `AGREE_EVERY`th step: an agreement is a wait.
        """
        if ranks.count() == 1:
            return stop
        if self._agreed is not None and self.state.step % AGREE_EVERY:
            return False
        self._agreed = None
        elapsed, needed, stopping = ranks.from_leader(self._elapsed(), self._snapshot_seconds, float(stop))
        self._agreed = (elapsed, needed)
        return bool(stopping)

    def _bookkeeping(self, advance: Advance, strength: float) -> None:
        """Between steps: log, look for losses that are NaN or infinite, snapshot, save."""
        step = self.state.step
        advance()
        if step % LOG_EVERY == 0:
            self._log(strength)
        if not ranks.leads():
            return
        if step % self.config.snapshot_every == 0:
            self._snapshot(strength)
        elif time.monotonic() - self._saved >= self.config.checkpoint_seconds:
            self._check_finite()
            self._save()

    def _log(self, strength: float) -> dict[str, Any]:
        """A history row over the steps since the last one."""
        self._check_finite()
        state = self.state
        since = state.step - (state.history[-1]["step"] if state.history else 0)
        loss_d, loss_g, real, fake, guide_loss = (state.sums / since).tolist()
        state.sums.zero_()
        row: dict[str, Any] = {
            "step": state.step, "images": state.step * self.config.batch_size, "seconds": round(self._elapsed(), 2),
            "conditioning": strength, "augmentation": float(state.ada[0]) if self.config.ada_target else 1.0,
            "loss_discriminator": loss_d, "loss_generator": loss_g,
            "logit_real": real, "logit_fake": fake, "guide_loss": guide_loss,
            "overfitting": None, "kid": None, "score": None, "alarm": "",
        }  # fmt: skip
        state.history.append(row)
        self.journal.log(row)
        return row

    def _snapshot(self, strength: float) -> None:
        """SnapshotScorer the averaged generator, keep it if it is the best so far, draw the grid, save everything."""
        began = time.monotonic()
        state = self.state
        logged = bool(state.history) and state.history[-1]["step"] == state.step
        row = state.history[-1] if logged else self._log(strength)
        candidate = self._candidate()
        sampler = GanGenerator(
            candidate, dataclasses.replace(self.spec, draws=0), self.plan.class_names, device=self.device
        )
        verdict = self.scorer.score(sampler)
        alarms = collapse_alarms(verdict.diversity, progress=self._progress(), transition=self.config.transition)
        alarms += discriminator_alarm(state.history)
        again = [self.batches.draw(_RECALIBRATION + i) for i in range(max(1, 256 // self.config.batch_size))]
        by_heart = overfitting(state.discriminator, candidate, self.plan, again, strength)
        alarms += memorisation_alarm(by_heart)
        row |= {"overfitting": by_heart, "kid": verdict.kid, "score": verdict.score, "alarm": "; ".join(alarms)}
        row |= {f"kid_{name}": value for name, value in verdict.kid_by_class.items()}
        row |= {f"diversity_{name}": value for name, value in verdict.diversity.items()}
        # Only a fully conditioned generator can be asked for a class, so earlier ones are kept just until one is there.
        full = 1.0 if strength >= 1.0 else 0.0
        best = state.best
        if best is None or _rank(full, verdict.score) <= _rank(best.figures["conditioning"] >= 1.0, best.score):
            figures = {"conditioning": strength, **dataclasses.asdict(verdict)}
            state.best = Best(state.step, verdict.score, on_host(dict(candidate.state_dict())), figures)
        grid = self.scorer.grid(sampler)
        save_sheet(self.run.path / "samples" / f"step-{state.step:07d}.png", grid)
        self.journal.log(row)
        self.journal.grid(grid, state.step)
        self._save()
        self.journal.write(state.history)
        self.run.tick()
        self._snapshot_seconds = time.monotonic() - began
        self._say_snapshot(verdict.score, alarms)

    def _say_snapshot(self, score: float | None, alarms: list[str]) -> None:
        state = self.state
        assert state.best is not None
        mark = " (best so far)" if state.best.step == state.step else ""
        figure = "" if score is None else f"KID {score:.4f}{mark}, "
        speed = state.step * self.config.batch_size / max(self._elapsed(), 1e-9)
        say(f"step {state.step:,} of {self.config.steps:,}: {figure}{speed:,.0f} images/s")
        for alarm in alarms:
            say(f"  ALARM {alarm}")

    def _candidate(self) -> torch.nn.Module:
        """The averaged generator with batch-norm statistics that fit it, as it would be drawn from."""
        candidate = average_of(self.state.average)
        inputs = (self.batches.draw(_RECALIBRATION + i) for i in range(_RECALIBRATION_BATCHES))
        recalibrate(candidate, ((batch.z, batch.labels) for batch in inputs))
        if not bool(torch.stack([torch.isfinite(p).all() for p in candidate.parameters()]).all()):  # one wait
            raise self._diverged()
        return candidate

    def _check_finite(self) -> None:
        if not bool(torch.isfinite(self.state.sums).all()):
            raise self._diverged()

    def _diverged(self) -> GanferError:
        """The error for a training whose losses became NaN or infinite; the best snapshot is written out first."""
        best = self.state.best
        kept = "No snapshot was made before."
        if best is not None:
            self._write_generator({})
            kept = f"The best snapshot, of step {best.step:,}, is kept in {self.run.path / FILE}."
        remedies = "lower gan.lr_generator and gan.lr_discriminator"
        if self.precision != "fp32":
            remedies += ", or set gan.precision=fp32"
        if self.config.regulariser == "none":
            remedies += ", or set gan.regulariser=spectral"
        return GanferError(
            f"{self.run.path.name}: the losses became NaN or infinite by step {self.state.step:,}. {kept}",
            f"Change the settings: {remedies}.",
        )

    def _save(self) -> None:
        """The resume point, whole or not at all; only ever of a training that is sound."""
        self._check_finite()
        if not ranks.leads():
            return
        self.state.seconds = self._elapsed()
        self.saver.save(self.state)
        self._saved = time.monotonic()

    def export(self, facts: dict[str, Any]) -> str:
        """Write the best snapshot as the run's generator; returns its digest."""
        return self._write_generator({**facts, "figures": self.figures()})

    def _write_generator(self, facts: dict[str, Any]) -> str:
        best = self.state.best
        assert best is not None
        card = {
            "ganfer": __version__,
            "torch": torch.__version__,
            "config": dataclasses.asdict(self.config),
            "seed": self.seed,
            **facts,
        }
        digest = save_generator(self.run.path, best.weights, self.spec, self.plan.class_names, card)
        if self.spec.network == "stylegan2":
            write_bridge_file(self.run.path, best.weights, self.spec, {"trained_by": "ganfer", "digest": digest})
        return digest

    def figures(self) -> dict[str, Any]:
        """What the record keeps: the best snapshot's figures, the speed, the alarms."""
        state = self.state
        assert state.best is not None
        judged = {name: value for name, value in state.best.figures.items() if name != "conditioning"}
        return {
            "best_step": state.best.step,
            "steps": state.step,
            "images": state.step * self.config.batch_size,
            "images_per_second": round(state.step * self.config.batch_size / max(state.seconds, 1e-9), 1),
            "features": features.NAME,
            "guide_recall": self.guide.recall if self.guide else {},
            **judged,
            "counts": dict(zip(self.plan.names, self.plan.counts.tolist(), strict=True)),
            "alarms": [f"step {row['step']}: {row['alarm']}" for row in state.history if row["alarm"]],
        }


def bar_of(config: GanConfig) -> str:
    """What the bar of a training says."""
    return f"train {config.network}"


def twice(counts: float | Tensor) -> float | Tensor:
    """How far the class counts, for a batch and again for another of the same classes."""
    return counts.repeat(2) if isinstance(counts, Tensor) and counts.ndim else counts


def own_batch(batch_size: int) -> int:
    """This process's part of a batch. GanferError when the processes cannot share it evenly."""
    if batch_size % ranks.count():
        raise GanferError(
            f"gan.batch_size = {batch_size} cannot be shared by {ranks.count()} processes.",
            f"Take a multiple: --set gan.batch_size={-(-batch_size // ranks.count()) * ranks.count()}.",
        )
    return batch_size // ranks.count()


def _rank(conditioned: float, score: float | None) -> tuple[float, float]:
    """Lower is better: first whether the class counts fully, then the score (none: every later snapshot is as good)."""
    return (-float(conditioned), 0.0 if score is None else score)


def fresh_networks(spec: NetworkSpec, config: GanConfig, seed: int) -> tuple[nn.Module, nn.Module]:
    """Generator and discriminator with weights by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_generator(spec), build_discriminator(spec, config.regulariser)


def new_state(spec: NetworkSpec, config: GanConfig, seed: int, fabric: Fabric, start: Start | None = None) -> State:
    """Fresh networks (weights by `seed`), or a parent's, and their optimisers on Fabric's device."""
    networks = fresh_networks(spec, config, seed)
    if start is not None:
        start.fill(*networks)
    # channels last measures faster on CPUs and on GPUs with bf16
    generator, discriminator = (net.to(fabric.device).to(memory_format=torch.channels_last) for net in networks)
    shared = {"betas": (config.beta1, config.beta2), "fused": True, "capturable": fabric.device.type == "cuda"}
    optimizers = fabric.setup_optimizers(
        torch.optim.Adam(generator.parameters(), lr=config.lr_generator, **shared),
        torch.optim.Adam(discriminator.parameters(), lr=config.lr_discriminator, **shared),
    )
    return State(
        generator=generator,
        discriminator=discriminator,
        average=average_of(generator),
        optimizer_g=optimizers[0],
        optimizer_d=optimizers[1],
        precision=fabric.strategy.precision,
        sums=torch.zeros(NUM_SUMS, dtype=wide_float(fabric.device), device=fabric.device),
        ada=fresh_ada(fabric.device),
    )
