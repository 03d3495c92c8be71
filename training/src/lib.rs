//! From history to a model: datasets, fitting, checkpoints, validation, the gate and promotion.

mod checkpoint;
mod dataset;
mod evaluate;
mod files;
mod gate;
mod manifest;
mod model;
mod options;
mod pools;
mod pools_gate;
mod resample;
mod train;
mod validation;

pub use dataset::{DatasetOptions, load_dataset};
pub use evaluate::{
    Candidate, EvaluateError, EvaluateOptions, EvaluationReport, ModelName, ModelNameError,
    ModelReport, ProtocolReport, evaluate,
};
pub use gate::{GateReport, compare, current_model, promote};
pub use manifest::{Manifest, Measures, SCHEMA, Validation};
pub use model::{LoadedModel, ModelError, load_model, pretrained, save_model};
pub use options::{EpochReport, Observer, StepProgress, TrainOptions};
pub use pools::{
    PoolEntry, PoolFitOptions, arrival_of, fit_pools, load_pools, request_files, save_pools,
};
pub use pools_gate::{PoolReplay, PoolsReport, Served};
pub use resample::coarser;
pub use train::{TrainError, train};
