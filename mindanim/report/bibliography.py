"""References of an evaluation, chosen by its metrics and by what its methods text cites."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_USED: tuple[tuple[tuple[str, ...], str], ...] = (
    (
        ("videos",),
        "Lu Y, et al. (2025). Animate your thoughts: reconstruction of dynamic natural vision from human "
        "brain activity. ICLR. arXiv:2405.03280.",
    ),
    (
        ("cc2017",),
        "Wen H, et al. (2018). Neural encoding and decoding with deep learning for dynamic natural vision. "
        "Cerebral Cortex 28(12). doi:10.1093/cercor/bhx268.",
    ),
    (
        ("hcp",),
        "Van Essen DC, et al. (2013). The WU-Minn Human Connectome Project: an overview. NeuroImage 80, "
        "62-79. doi:10.1016/j.neuroimage.2013.05.041.",
    ),
    (
        ("algonauts2021",),
        "Cichy RM, et al. (2021). The Algonauts Project 2021 Challenge: how the human brain makes sense of a "
        "world in motion. arXiv:2104.13714.",
    ),
    (
        ("2way.", "50way."),
        "Chen Z, Qing J, Zhou JH (2023). Cinematic mindscapes: high-quality video reconstruction from brain "
        "activity. NeurIPS. arXiv:2305.11675.",
    ),
    (
        ("clip_pcc.", "clipvideo."),
        "Radford A, et al. (2021). Learning transferable visual models from natural language supervision. "
        "ICML. arXiv:2103.00020.",
    ),
    (
        ("vifi", "clip_pcc.gated"),
        "Rasheed H, et al. (2023). Fine-tuned CLIP models are efficient video learners. CVPR. "
        "arXiv:2212.03640.",
    ),
    (
        ("ssim.",),
        "Wang Z, et al. (2004). Image quality assessment: from error visibility to structural similarity. "
        "IEEE TIP 13(4). doi:10.1109/TIP.2003.819861.",
    ),
    (
        ("ssim.graycol",),
        "Scotti PS, et al. (2023). Reconstructing the mind's eye: fMRI-to-image with contrastive learning "
        "and diffusion priors. NeurIPS. arXiv:2305.18274.",
    ),
    (
        ("epe.farneback", "ae.farneback", "flow."),
        "Farnebäck G (2003). Two-frame motion estimation based on polynomial expansion. SCIA. "
        "doi:10.1007/3-540-45103-X_50.",
    ),
    (
        ("epe.", "ae."),
        "Baker S, et al. (2011). A database and evaluation methodology for optical flow. IJCV 92. "
        "doi:10.1007/s11263-010-0390-2.",
    ),
    (
        ("epe.raft",),
        "Teed Z, Deng J (2020). RAFT: recurrent all-pairs field transforms. ECCV. arXiv:2003.12039.",
    ),
    (
        ("fvd.",),
        "Unterthiner T, et al. (2019). Towards accurate generative models of video. arXiv:1812.01717.",
    ),
    (
        ("interval",),
        "Hall P (1988). Theoretical comparison of bootstrap confidence intervals. Annals of Statistics "
        "16(3). doi:10.1214/aos/1176350933.",
    ),
    (
        ("interval",),
        "Holm S (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of "
        "Statistics 6(2), 65-70.",
    ),
    (
        ("interval",),
        "Phipson B, Smyth GK (2010). Permutation p-values should never be zero. Statistical Applications in "
        "Genetics and Molecular Biology 9(1). doi:10.2202/1544-6115.1585.",
    ),
)


_CITED: tuple[tuple[str, str], ...] = (
    (
        "Wei & Zou 2019",
        "Wei J, Zou K (2019). EDA: easy data augmentation techniques for boosting performance on text "
        "classification tasks. EMNLP-IJCNLP. arXiv:1901.11196.",
    ),
    (
        "Wu et al. 2023",
        "Wu JZ, et al. (2023). Tune-A-Video: one-shot tuning of image diffusion models for text-to-video "
        "generation. ICCV. arXiv:2212.11565.",
    ),
    (
        "Meng et al. 2022",
        "Meng C, et al. (2022). SDEdit: guided image synthesis and editing with stochastic differential "
        "equations. ICLR. arXiv:2108.01073.",
    ),
    (
        "DPM-Solver++",
        "Lu C, et al. (2022). DPM-Solver++: fast solver for guided sampling of diffusion probabilistic "
        "models. arXiv:2211.01095.",
    ),
    (
        "Karras et al. (2022)",
        "Karras T, Aittala M, Aila T, Laine S (2022). Elucidating the design space of diffusion-based "
        "generative models. NeurIPS. arXiv:2206.00364.",
    ),
    (
        "DDIM",
        "Song J, Meng C, Ermon S (2021). Denoising diffusion implicit models. ICLR. arXiv:2010.02502.",
    ),
    (
        "Benjamini-Hochberg",
        "Benjamini Y, Hochberg Y (1995). Controlling the false discovery rate: a practical and powerful "
        "approach to multiple testing. Journal of the Royal Statistical Society B 57(1), 289-300. "
        "doi:10.1111/j.2517-6161.1995.tb02031.x.",
    ),
    (
        "Johnson 1978",
        "Johnson NJ (1978). Modified t tests and confidence intervals for asymmetrical populations. Journal "
        "of the American Statistical Association 73(363), 536-544.",
    ),
    (
        "Ibragimov and Müller 2010",
        "Ibragimov R, Müller UK (2010). t-statistic based correlation and heterogeneity robust inference. "
        "Journal of Business and Economic Statistics 28(4), 453-468. doi:10.1198/jbes.2009.08046.",
    ),
    (
        "nilearn",
        "Abraham A, et al. (2014). Machine learning for neuroimaging with scikit-learn. Frontiers in "
        "Neuroinformatics 8:14. doi:10.3389/fninf.2014.00014.",
    ),
    (
        "fMRIPrep",
        "Esteban O, et al. (2019). fMRIPrep: a robust preprocessing pipeline for functional MRI. Nature "
        "Methods 16, 111-116. doi:10.1038/s41592-018-0235-4.",
    ),
    (
        "BLIP-2",
        "Li J, Li D, Savarese S, Hoi S (2023). BLIP-2: bootstrapping language-image pre-training with frozen "
        "image encoders and large language models. ICML. arXiv:2301.12597.",
    ),
)


def bibliography(metrics: dict[str, Any], methods: Sequence[str]) -> list[str]:
    """References for a metrics.json and a methods text, sorted by author."""
    used = [score["id"] for score in metrics["scores"]] + [one["id"] for one in metrics["distribution"]]
    used += ["interval", metrics["dataset"]]
    if metrics["source"] is None:
        used.append("videos")
    works = {work for keys, work in _USED if any(name.startswith(key) for name in used for key in keys)}
    text = " ".join(methods)
    return sorted(works | {work for phrase, work in _CITED if phrase in text})
