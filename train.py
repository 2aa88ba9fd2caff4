"""Train, validate, test or predict with any stage: python train.py fit --config configs/gpt.yaml."""

from xdancer.cli import main

if __name__ == "__main__":
    main()
