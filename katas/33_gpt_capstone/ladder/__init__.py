"""The ideas between GPT-2 and the record, one per file.
`train_gpt2.py --recipe speedrun` stands on the highest rung.

Below the first one there are rotary positions, RMSNorm and a rate that is flat and then
falls in a line.
"""

from ladder import (
    bigram,
    document_windows,
    multi_token,
    muon,
    polar_express,
    qk_norm,
    relu_squared,
    schedules,
    softcap,
    untied_head,
    value_embeddings,
    zero_projections,
)

RUNGS = {
    "muon": muon.RUNG,
    "relu_squared": relu_squared.RUNG,
    "qk_norm": qk_norm.RUNG,
    "untied_head": untied_head.RUNG,
    "zero_projections": zero_projections.RUNG,
    "document_windows": document_windows.RUNG,
    "bigram": bigram.RUNG,
    "value_embeddings": value_embeddings.RUNG,
    "softcap": softcap.RUNG,
    "polar_express": polar_express.RUNG,
    "schedules": schedules.RUNG,
    "multi_token": multi_token.RUNG,
}  # from the lowest one up
