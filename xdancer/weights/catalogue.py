"""Weights that are not shipped: what each is for, under which terms, how large, and the command that takes it in."""

from dataclasses import dataclass


@dataclass(frozen=True)
class OutsideWeights:
    """Weights that people fetch themselves."""

    name: str
    model_id: str
    """On Hugging Face, or where else it lies."""
    licence: str
    size: str
    """To fetch."""
    use: str
    command: str


CATALOGUE = (
    OutsideWeights(
        "Stable Diffusion 1.5", "stable-diffusion-v1-5/stable-diffusion-v1-5", "CreativeML Open RAIL-M", "3.8 GB (unet, vae)",
        "stage 3 at the paper's size starts from it", "xdancer weights import sd15 FOLDER",
    ),
    OutsideWeights(
        "SD-VAE, finer", "stabilityai/sd-vae-ft-mse", "MIT", "0.3 GB", "autoencoder instead of SD1.5's own, needed by Moore's weights",
        "xdancer weights import moore FOLDER --vae FOLDER",
    ),
    OutsideWeights(
        "CLIP ViT-L/14", "openai/clip-vit-large-patch14", "MIT", "1.7 GB", "the portrait's embedding in the paper's configs",
        "xdancer weights import clip FOLDER",
    ),
    OutsideWeights(
        "CLIP ViT-L/14, image variations", "lambdalabs/sd-image-variations-diffusers (image_encoder)", "CreativeML Open RAIL-M", "1.2 GB",
        "the portrait's embedding that Moore's weights were trained with", "xdancer weights import moore FOLDER --image-encoder FOLDER",
    ),
    OutsideWeights(
        "AnimateDiff motion modules", "guoyww/animatediff (mm_sd_v15_v2, v3_sd15_mm)", "Apache-2.0", "0.9–1.8 GB",
        "stage 3, phase (b): temporal modules to start from", "xdancer weights import animatediff FILE",
    ),
    OutsideWeights(
        "Moore-AnimateAnyone", "patrolli/AnimateAnyone", "Apache-2.0", "11 GB", "pictures of our dances without training a renderer",
        "xdancer weights import moore FOLDER --vae FOLDER --image-encoder FOLDER --out MODEL",
    ),
    OutsideWeights(
        "GPT-2 medium, small", "openai-community/gpt2-medium, gpt2", "MIT", "1.5, 0.5 GB", "stage 2 starts from it in the paper",
        "python train.py fit --config configs/gpt.yaml --model.init_args.gpt2 FOLDER",
    ),
    OutsideWeights(
        "Jukebox 5B", "OpenAI's jukebox (through jukebox-infer or jukemirlib)", "non-commercial", "11 GB", "music features of the paper",
        "xdancer features SHARDS --add jukebox",
    ),
    OutsideWeights(
        "DWPose, RTMW", "by rtmlib", "Apache-2.0", "0.4 GB", "a detector that finds hands more often",
        "xdancer prepare VIDEOS --detector dwpose",
    ),
    OutsideWeights(
        "I3D, Kinetics-400", "universome/stylegan-v (i3d_torchscript.pt) or wilson1yan/VideoGPT (i3d_pretrained_400.pt)", "Apache-2.0",
        "0.05 GB", "FVD, protocols styleganv2048 and disco16", "xdancer evaluate … --protocol styleganv2048 --network-weights FILE",
    ),
    OutsideWeights(
        "3D-ResNet-50, Kinetics", "kenshohara/3D-ResNets-PyTorch (resnet-50-kinetics.pth)", "MIT", "0.2–0.4 GB", "FID-VID, protocol fidvid16",
        "xdancer evaluate … --protocol fidvid16 --network-weights FILE",
    ),
    OutsideWeights(
        "VideoMAE", "MCG-NJU/videomae-base-finetuned-ssv2 (or a larger one)", "CC-BY-NC-4.0", "0.4–2.5 GB",
        "content-debiased distance, protocol cd-fvd", "xdancer evaluate … --protocol cd-fvd --network-weights FOLDER",
    ),
    OutsideWeights(
        "ArcFace, ONNX", "deepinsight/insightface (buffalo_l: w600k_r50.onnx)", "non-commercial research", "0.2 GB",
        "likeness of faces; the network in the package tells people apart less well", "xdancer evaluate … --face-weights FILE",
    ),
    OutsideWeights(
        "VGG16, ImageNet", "torchvision (download.pytorch.org/models/vgg16-397923af.pth)", "BSD-3-Clause", "0.5 GB",
        "LPIPS by VGG beside the one by AlexNet", "xdancer evaluate … --lpips-weights FILE",
    ),
)  # fmt: skip
