torchrun --nnodes 2 --nproc-per-node 8 pretrain_gpt.py \
    --tensor-model-parallel-size 3 --pipeline-model-parallel-size 2 \
    --num-layers 32 --hidden-size 4096 --num-attention-heads 32 --seq-length 4096 \
    --micro-batch-size 1 --global-batch-size 64 --train-iters 10 --vocab-size 32000 --bf16 \
    --swiglu --normalization RMSNorm --disable-bias-linear --position-embedding-type rope
