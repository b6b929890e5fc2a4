"""A folder of DICOM files through a saved network, into a table: ``python -m seattn.predict``."""

from seattn.predict.folder import predict_folder
from seattn.predict.summary import PredictionSummary

__all__ = ["PredictionSummary", "predict_folder"]
