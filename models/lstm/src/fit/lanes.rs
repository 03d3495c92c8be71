//! Lanes: each follows one series from chunk to chunk, carrying its recurrent state, and takes
//! another series when it comes to the end.

use serde::{Deserialize, Serialize};

use crate::{
    chunk::Chunk,
    features::{INPUTS, View},
    fit::{
        data::FitData,
        variety::{Followed, Variation, Variety},
    },
    forecaster::longest_steps,
    memory::Remembered,
    network::NetworkSize,
    random::Random,
};

/// The near horizon, which half of the forecasts are drawn from evenly.
const NEAR_STEPS: usize = 48;
/// How many of the lanes that take a new series start somewhere within it, as if it were new there.
const COLD_STARTS: f32 = 0.4;

/// How the data is cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChunkSize {
    /// Series at a time, over both shards.
    pub lanes: usize,
    /// Steps that gradients flow back through.
    pub steps: usize,
    /// Forecast origins in them.
    pub origins: usize,
    /// Forecasts, each for one step ahead, at an origin.
    pub draws: usize,
    /// The share of the state that the head does not see at an origin.
    pub dropout: f32,
}

/// Where a lane is. The memory is rebuilt from the data, so that a checkpoint stays small.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Place {
    source: usize,
    candidate: usize,
    /// The bin from which the series is known.
    from: usize,
    /// The next bin.
    next: usize,
    variation: Variation,
}

/// What a checkpoint holds of the lanes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LanesState {
    random: Random,
    places: Vec<Place>,
    state: Vec<f32>,
}

/// Half of the lanes: what one worker trains on.
#[derive(Debug)]
pub(crate) struct Lanes {
    cut: ChunkSize,
    variety: Variety,
    /// Units of the top layer.
    hidden: usize,
    held: LanesState,
    memories: Vec<Remembered>,
}

impl Lanes {
    /// Lanes at random places, with memories of everything before.
    pub(crate) fn new(
        data: &FitData,
        size: &NetworkSize,
        (cut, variety): (ChunkSize, Variety),
        rows: usize,
        mut random: Random,
    ) -> Self {
        let places = (0..rows).map(|_| scattered(data, variety, &mut random));
        let places = places.collect();
        let state = vec![0.0; size.state() * rows];
        let held = LanesState {
            random,
            places,
            state,
        };
        Self::resume(data, size, (cut, variety), held)
    }

    /// Lanes as they were.
    pub(crate) fn resume(
        data: &FitData,
        size: &NetworkSize,
        (cut, variety): (ChunkSize, Variety),
        held: LanesState,
    ) -> Self {
        let memories = held.places.iter().map(|place| replay(data, place));
        Self {
            cut,
            variety,
            hidden: size.hidden,
            memories: memories.collect(),
            held,
        }
    }

    /// What has to be kept to go on from here.
    pub(crate) fn held(&self) -> &LanesState {
        &self.held
    }

    /// The next chunk of every lane.
    pub(crate) fn next(&mut self, data: &FitData) -> Chunk {
        let rows = self.held.places.len();
        let origins = self.draw_origins();
        let mut chunk = Chunk::zeros(rows, self.cut.steps, 0, origins, self.cut.draws);
        chunk.state.clone_from(&self.held.state);
        chunk.keep = self.draw_kept(chunk.origins.len() * rows);
        for row in 0..rows {
            self.fill(data, row, &mut chunk);
        }
        chunk
    }

    /// Takes over the state after the chunk; lanes at their end take another series.
    pub(crate) fn carry(&mut self, data: &FitData, state: Vec<f32>) {
        self.held.state = state;
        let rows = self.held.places.len();
        for row in 0..rows {
            let place = &self.held.places[row];
            if place.next + 1 < data.sources[place.source].end {
                continue;
            }
            let place = restarted(data, self.variety, &mut self.held.random);
            self.memories[row] = Remembered::new(data.sources[place.source].clock);
            self.held.places[row] = place;
            for unit in self.held.state.chunks_exact_mut(rows) {
                unit[row] = 0.0;
            }
        }
    }

    /// One origin in each equal part of the chunk.
    fn draw_origins(&mut self) -> Vec<usize> {
        let count = self.cut.origins.min(self.cut.steps);
        (0..count)
            .map(|part| {
                let (from, to) = (
                    part * self.cut.steps / count,
                    (part + 1) * self.cut.steps / count,
                );
                from + self.held.random.below(to - from)
            })
            .collect()
    }

    /// Zero for what is dropped; the rest grows in turn, so that the expectation stays.
    fn draw_kept(&mut self, columns: usize) -> Vec<f32> {
        let dropout = self.cut.dropout.clamp(0.0, 0.9);
        if dropout == 0.0 {
            return Vec::new();
        }
        let random = &mut self.held.random;
        let mut draw = || {
            if random.unit() < dropout {
                0.0
            } else {
                1.0 / (1.0 - dropout)
            }
        };
        (0..self.hidden * columns).map(|_| draw()).collect()
    }

    fn fill(&mut self, data: &FitData, row: usize, chunk: &mut Chunk) {
        let place = &self.held.places[row];
        let source = &data.sources[place.source];
        let candidate = source.candidate(place.candidate);
        let values = place.followed(data);
        let remembered = &mut self.memories[row];
        let longest = longest_steps(source.panel.interval());
        let first = place.next;
        let mut next = first;
        for step in 0..chunk.steps {
            let bin = first + step;
            let Some(value) = values.get(bin) else {
                break;
            };
            let at = source.panel.bin_start(bin);
            remembered.push(source.clock, at, value);
            next = bin + 1;
            let Remembered { memory, seasons } = &*remembered;
            if !memory.started() {
                continue;
            }
            let view = View::new(memory, seasons, source.clock, at);
            let inputs = &mut chunk.inputs[step * INPUTS * chunk.rows..];
            view.write_inputs(&mut inputs[row..], chunk.rows);
            let Ok(origin) = chunk.origins.binary_search(&step) else {
                continue;
            };
            let scale = memory.scale();
            if scale <= f32::MIN_POSITIVE {
                continue;
            }
            let weight = candidate.weight(scale);
            for draw in 0..chunk.draws {
                let ahead = draw_steps(
                    &mut self.held.random,
                    longest.min(source.end.saturating_sub(bin + 1)),
                );
                let target = values.get(bin + ahead).unwrap_or(f32::NAN);
                if ahead == 0 || !target.is_finite() {
                    continue;
                }
                let column = (origin * chunk.rows + row) * chunk.draws + draw;
                let forecasts = chunk.forecasts();
                view.write_ahead(ahead, &mut chunk.ahead[column..], forecasts);
                let anchors = view.anchors(source.clock.later(at, ahead));
                for (index, anchor) in anchors.into_iter().enumerate() {
                    chunk.anchors[index * forecasts + column] = anchor;
                }
                chunk.targets[column] = target / scale;
                chunk.weights[column] = weight;
            }
        }
        self.held.places[row].next = next;
    }
}

/// Half evenly over the near steps, half evenly over the logarithm of all of them; 0 if there is none.
fn draw_steps(random: &mut Random, longest: usize) -> usize {
    let near = random.unit() < 0.5;
    let place = random.unit();
    if longest == 0 {
        0
    } else if near {
        1 + (place * NEAR_STEPS.min(longest) as f32) as usize
    } else {
        ((longest as f32).powf(place).round() as usize).clamp(1, longest)
    }
}

/// Somewhere in a series of which everything before is known.
fn scattered(data: &FitData, variety: Variety, random: &mut Random) -> Place {
    let place = drawn(data, variety, random);
    let length = data.sources[place.source].end - place.from;
    Place {
        next: place.from + random.below(length),
        ..place
    }
}

/// At the start of a series, or somewhere in it as if nothing before were known.
fn restarted(data: &FitData, variety: Variety, random: &mut Random) -> Place {
    let mut place = drawn(data, variety, random);
    if random.unit() < COLD_STARTS {
        place.from += random.below(data.sources[place.source].end - place.from);
        place.next = place.from;
    }
    place
}

fn drawn(data: &FitData, variety: Variety, random: &mut Random) -> Place {
    let source = data.draw_source(random);
    let candidate = data.sources[source].draw(random);
    let from = data.sources[source].candidate(candidate).first;
    Place {
        source,
        candidate,
        from,
        next: from,
        variation: Variation::draw(variety, &data.sources[source], candidate, random),
    }
}

fn replay(data: &FitData, place: &Place) -> Remembered {
    let source = &data.sources[place.source];
    let values = place.followed(data);
    let mut memory = Remembered::new(source.clock);
    for bin in place.from..place.next {
        let Some(value) = values.get(bin) else { break };
        memory.push(source.clock, source.panel.bin_start(bin), value);
    }
    memory
}

impl Place {
    fn followed<'a>(&'a self, data: &'a FitData) -> Followed<'a> {
        let source = &data.sources[self.source];
        self.variation.of(source, self.candidate, self.from)
    }
}
