"""`python -m mindanim`, which is also what `accelerate launch -m mindanim` runs."""

from mindanim.cli.app import main

if __name__ == "__main__":
    main()
