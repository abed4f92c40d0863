//! Instruments beside the plants of a rig, whose readings interlocks watch: opened once each, and served.

// Circle with plants/rig.rs: the instruments of its interlocks are opened with a rig; split for its length.

use std::collections::BTreeMap;
use std::sync::Arc;

use drivers::{Gauge, GaugeProtocol, Interlock, Reading, Terminator, Watched};
use hil::{Faults, GaugeValue, ScpiBox, SimulatedGauge, Wire, serve_scpi};

use super::config::InterlockConfig;
use super::{Rig, RigConfig, ServedInstrument};
use crate::Error;

/// Those that are open, while plants are opened: several plants may be watched by one.
pub(super) type Gauges = Vec<(drivers::GaugeConfig, Arc<Gauge>)>;

impl Rig {
    /// The interlocks of the plant called `name`, with the instruments that they need.
    pub(super) fn interlocks(
        &self,
        name: &str,
        interlocks: &[InterlockConfig],
        open: &mut Gauges,
    ) -> Result<Vec<Interlock>, Error> {
        let mut all = vec![];
        for (index, interlock) in interlocks.iter().enumerate() {
            let Some(config) = &interlock.instrument else {
                all.push(interlock.interlock(Watched::Bank(interlock.output.clone().unwrap_or_default())));
                continue;
            };
            let known = open.iter().find(|(known, _)| known == config).map(|(_, gauge)| gauge.clone());
            let gauge = if let Some(gauge) = known {
                gauge
            } else {
                let opened = opened(&format!("{name}-{}", interlock.name), config, open);
                Arc::new(opened.map_err(|error| self.gauge_error(name, index, error))?)
            };
            open.push((config.clone(), gauge.clone()));
            all.push(interlock.interlock(Watched::Gauge(gauge as Arc<dyn Reading>)));
        }
        Ok(all)
    }

    /// An error of the instrument of interlock `index`: of the file, or of the instrument.
    fn gauge_error(&self, name: &str, index: usize, error: drivers::Error) -> Error {
        let path = format!("plants.{name}.interlocks.{index}.instrument");
        match error {
            drivers::Error::Description { key, message } => self.document.refuse(&format!("{path}.{key}"), message),
            error @ drivers::Error::UnknownBank { .. } => {
                self.document.refuse(&format!("{path}.query"), format!("cannot be answered: {error}"))
            }
            error => Error::plant(name)(error),
        }
    }

    /// Serves simulated instruments for all that interlocks watch beside plants, one for each address, and writes where they listen into
    /// `config`. Each answers with the middle of its bounds.
    pub(super) fn serve_gauges(&self, config: &mut RigConfig, faults: &Faults) -> Result<Vec<ServedInstrument>, Error> {
        let mut by_address: BTreeMap<String, (String, Vec<GaugeValue>)> = BTreeMap::new();
        for (name, plant) in &config.plants {
            for (index, interlock) in plant.interlocks.iter().enumerate() {
                let Some(gauge) = &interlock.instrument else { continue };
                if gauge.protocol == GaugeProtocol::Pnnlink {
                    let path = format!("plants.{name}.interlocks.{index}.instrument.protocol");
                    return Err(self
                        .document
                        .refuse(&path, "is `pnnlink`, which is not served: give `scpi` or `lines`"));
                }
                let served = || (format!("{name}-{}", interlock.name), vec![]);
                let values = by_address.entry(gauge.address.clone()).or_insert_with(served);
                let (query, field) = (gauge.query.clone(), gauge.field);
                values.1.push(GaugeValue { query, field, answer: interlock.within() });
            }
        }
        let (mut all, mut addresses) = (vec![], BTreeMap::new());
        for (address, (name, values)) in by_address {
            // A wire that was asked for is the plant's: these have ports of their own.
            let instrument = ScpiBox::new(SimulatedGauge::new(values));
            let served = serve_scpi(instrument, &Wire::Tcp { port: 0 }, faults.clone());
            let served = served
                .map_err(|error| self.document.refuse("plants", format!("`{name}` cannot be served: {error}")))?;
            addresses.insert(address, served.address.to_string());
            all.push(ServedInstrument::new(name, served.address.clone(), served));
        }
        for gauge in config.plants.values_mut().flat_map(|plant| &mut plant.interlocks) {
            let Some(gauge) = &mut gauge.instrument else { continue };
            if let Some(address) = addresses.get(&gauge.address) {
                (gauge.address, gauge.terminator) = (address.clone(), Terminator::Lf);
            }
        }
        Ok(all)
    }
}

/// Opens one, over the connection of another one where that is to the same instrument.
fn opened(name: &str, config: &drivers::GaugeConfig, open: &Gauges) -> Result<Gauge, drivers::Error> {
    for (_, gauge) in open {
        if let Some(gauge) = gauge.beside(config)? {
            return Ok(gauge);
        }
    }
    Gauge::open(name, config)
}
