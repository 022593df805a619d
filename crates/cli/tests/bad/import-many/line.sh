TP=8
torchrun --nnodes $NNODES --nproc-per-node 8 pretrain_gpt.py \
    --tensor-model-parallel-size ${TP} --tensor-model-parallel-size 4 \
    --pipeline-model-parallel-size $PP \
    --context-paralel-size 2 \
    --num-layers 1e3 --hidden-size 99999999999999999999 --num-attention-heads -1 \
    --seq-length 4096 --micro-batch-size 0 --train-iters 10 --use-checkpoint-args \
    --moe-layer-freq '([0]*3+[1' --num-experts 8 --frobnicate 3 --bf16 --fp16
