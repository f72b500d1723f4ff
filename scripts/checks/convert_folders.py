"""Opens every folder that convert-folders.ts wrote in Hugging Face transformers, and compares its logits with golgi's."""
import argparse, pathlib, re, sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

TOLERANCE = 1e-4
OF_IMAGES = re.compile(r"vision_tower|multi_modal_projector")  # golgi has the text of a model that takes images


def deviation(folder):
    expected = load_file(folder / "golgi.expected")
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
    found = [*report["missing_keys"], *report["unexpected_keys"], *report["mismatched_keys"]]
    unmatched = [key for key in found if not OF_IMAGES.search(key)]
    if unmatched:
        raise SystemExit(f"{folder.name}: transformers does not match {unmatched}")
    with torch.no_grad():
        logits = model(expected["tokens"].long()[None]).logits[0]
    return (logits - expected["logits"]).abs().max().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    folders = sorted(path for path in parser.parse_args().folder.iterdir() if path.is_dir())
    deviations = {folder.name: deviation(folder) for folder in folders}
    for name, value in deviations.items():
        print(f"{name:36} {value:.1e}")
    worst = max(deviations.values())
    print(f"{len(deviations)} folders, largest deviation {worst:.1e} (at most {TOLERANCE})")
    sys.exit(worst > TOLERANCE)


if __name__ == "__main__":
    main()
