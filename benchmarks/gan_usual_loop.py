"""A DCGAN trained the usual way, to measure against: ImageFolder, two loader workers, four losses read in every step.

The loop of the well-known tutorials, written anew: real and fake batches one after the other, BCE, Adam, and printing's
`.item()` calls. The networks are ganfer's classic DCGAN, so that both sides do the same arithmetic.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torchvision import transforms
from torchvision.datasets import ImageFolder

from ganfer.gan.networks import NetworkSpec, build_discriminator, build_generator


def usual_gan(folder: Path, spec: NetworkSpec, batch: int, steps: int, device: torch.device) -> float:
    """Images per second over `steps` steps after the first ten."""
    convert = transforms.Compose([transforms.Resize(spec.size), transforms.ToTensor(), transforms.Normalize(0.5, 0.5)])
    loader = torch.utils.data.DataLoader(
        ImageFolder(str(folder), convert), batch, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True
    )
    generator = build_generator(spec).to(device).train()
    discriminator = build_discriminator(spec, "none").to(device).train()
    one, other = (torch.optim.Adam(n.parameters(), 2e-4, betas=(0.5, 0.999)) for n in (generator, discriminator))
    real_label, fake_label = torch.ones(batch, device=device), torch.zeros(batch, device=device)
    done, began, warm = 0, time.perf_counter(), min(10, steps // 2)
    while True:
        for images, _ in loader:
            other.zero_grad()
            real = discriminator(images.to(device))
            loss_real = F.binary_cross_entropy_with_logits(real, real_label)
            loss_real.backward()
            fake = generator(torch.randn(batch, spec.latent_dim, device=device))
            judged = discriminator(fake.detach())
            loss_fake = F.binary_cross_entropy_with_logits(judged, fake_label)
            loss_fake.backward()
            other.step()
            one.zero_grad()
            loss = F.binary_cross_entropy_with_logits(discriminator(fake), real_label)
            loss.backward()
            one.step()
            _ = (loss_real + loss_fake).item(), loss.item(), real.mean().item(), judged.mean().item()
            done += 1
            if done == warm:
                began = time.perf_counter()
            if done == steps + warm:
                return steps * batch / (time.perf_counter() - began)
