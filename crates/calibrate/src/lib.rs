//! Measured kernels and collectives to a calibration, with the fit's own error.
