"""The stages that dvc.yaml runs: parameters and files in, files out."""
