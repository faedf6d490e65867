"""The works that an evaluation rests on, chosen by what was run."""

from __future__ import annotations

from typing import Any

_WORKS: tuple[tuple[tuple[str, ...], str], ...] = (
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


def bibliography(metrics: dict[str, Any]) -> list[str]:
    """References for the content of a metrics.json, in the order of their authors' names."""
    used = [score["id"] for score in metrics["scores"]] + [one["id"] for one in metrics["distribution"]]
    used += ["interval", metrics["dataset"]]
    if metrics["source"] is None:
        used.append("videos")
    return sorted(work for keys, work in _WORKS if any(name.startswith(key) for name in used for key in keys))
