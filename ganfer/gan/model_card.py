"""A generator's model card."""

import dataclasses
from typing import Any

from ganfer.cards.model import Measure, ModelFacts
from ganfer.config import Config
from ganfer.gan.networks import NetworkSpec
from ganfer.gan.plan import TrainingPlan
from ganfer.workspace import Run

_KID = "KID (random-convolution features)"
_SETTINGS = ("network", "loss", "regulariser", "steps", "batch_size", "base_channels", "latent_dim", "augment")


def generator_facts(
    run: Run, config: Config, plan: TrainingPlan, spec: NetworkSpec, figures: dict[str, Any], data: Run
) -> ModelFacts:
    """What the card says. figures: those of the run."""
    names = [str(name) for name in plan.class_names or ()]
    kind = "grey" if spec.channels == 1 else "colour"
    of = f" of {len(names)} facial expressions ({', '.join(names)})" if names else ""
    settings = dataclasses.asdict(config.gan)
    return ModelFacts(
        name=run.name,
        task="unconditional-image-generation",
        summary=f"A GAN that draws {kind} faces{of}, {spec.size} x {spec.size} pixels. All it draws is synthetic.",
        class_names=names,
        data=f"{data.name}, its training split",
        counts=figures["counts"],
        results=[] if figures["score"] is None else [Measure("kid", _KID, figures["score"], split="held-back images")],
        use=(
            "from ganfer.gan.sampling import open_gan",
            "",
            'generator = open_gan(".")',
            f"faces = generator.sample([0, 1, 2], {'[0, 0, 0]' if names else 'None'})  # (N, C, H, W) uint8",
        ),
        made=(
            ("settings", {name: settings[name] for name in _SETTINGS}),
            ("best step", figures["best_step"]),
            ("seed", config.seed),
            ("images seen", figures["images"]),
        ),
        notes=(
            "A GAN can repeat its training images, above all of small classes; `ganfer quality` counts copies.",
            "KID of random-convolution features compares snapshots of this training; it is not the published KID.",
            *(f"Alarm at {alarm}" for alarm in figures["alarms"][-3:]),
        ),
        synthetic=True,
    )
