//! A simulated instrument beside a plant: it answers each of its queries with a value, which `SIMulation:VALue` sets for all of them.

use drivers::Numbers;

use crate::scpi_box::{Parameter, Response, ScpiInstrument, Table};
use crate::template::Template;

/// A value that is asked for.
#[derive(Debug, Clone)]
pub struct GaugeValue {
    /// The query, such as `MEAS:POW?`.
    pub query: String,
    /// Which of the values between commas in its answer, from 1 on.
    pub field: usize,
    /// What is answered until it is told otherwise: a number, or a word.
    pub answer: String,
}

/// A power meter, a thermometer, a shutter.
pub struct SimulatedGauge(Vec<GaugeValue>);

impl SimulatedGauge {
    /// One that answers with `values`.
    pub fn new(values: Vec<GaugeValue>) -> Self {
        Self(values)
    }
}

impl SimulatedGauge {
    /// The answer to a query: its values with commas, and 0 where there is none.
    fn answer(&self, query: &str) -> Response {
        let found: Vec<&GaugeValue> = self.0.iter().filter(|value| value.query == query).collect();
        let last = found.iter().map(|value| value.field).max().unwrap_or_default();
        let field =
            |number| found.iter().find(|value| value.field == number).map_or("0", |value| value.answer.as_str());
        Response::text((1..=last).map(field).collect::<Vec<_>>().join(","))
    }
}

impl ScpiInstrument for SimulatedGauge {
    type Client = ();

    fn identity(&self) -> [String; 3] {
        ["pnnlab".to_owned(), "gauge (simulated)".to_owned(), "SIM-1".to_owned()]
    }

    fn table(&self) -> Table<Self> {
        let mut table = Table::<Self>::new().command("SIMulation:VALue", [Parameter::raw()], |it, call| {
            let text = String::from_utf8_lossy(call.bytes(0)?).into_owned();
            it.0.iter_mut().for_each(|value| value.answer.clone_from(&text));
            Ok(())
        });
        for value in &self.0 {
            let (query, told) = (value.query.clone(), Template::new(&value.query));
            table = table.query(&told.header, told.parameters(Numbers::Text), move |it, _| Ok(it.answer(&query)));
        }
        table
    }

    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use drivers::{Gauge, GaugeConfig, Reading};

    use super::*;
    use crate::{Faults, ScpiBox, Served, Wire, serve_scpi};

    fn served() -> Served {
        let value = |query: &str, field, answer: &str| GaugeValue { query: query.into(), field, answer: answer.into() };
        let values = vec![value("MEAS:TEMP?", 2, "23.5"), value("SHUT?", 1, "OPEN")];
        serve_scpi(ScpiBox::new(SimulatedGauge::new(values)), &Wire::Tcp { port: 0 }, Faults::new(0)).unwrap()
    }

    fn config(text: &str, served: &Served) -> GaugeConfig {
        toml::from_str(&format!(
            "{text}\naddress = \"{}\"\nevery_seconds = 0.02\ndeadline_seconds = 0.3",
            served.address
        ))
        .unwrap()
    }

    fn wait_until(what: &str, mut is_true: impl FnMut() -> bool) {
        let start = Instant::now();
        while !is_true() {
            assert!(start.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    #[test]
    fn it_is_read_by_scpi_and_by_lines_once_in_each_period() {
        let served = served();
        for protocol in ["scpi", "lines"] {
            let config = config(&format!("protocol = \"{protocol}\"\nquery = \"MEAS:TEMP?\"\nfield = 2"), &served);
            let gauge = Gauge::open("thermometer", &config).unwrap();
            assert_eq!(gauge.newest(), Ok(23.5), "{protocol}");
            let words =
                GaugeConfig { query: "SHUT?".into(), field: 1, values: [("OPEN".into(), 1.0)].into(), ..config };
            let shutter = gauge.beside(&words).unwrap().expect("over the same connection");
            assert_eq!(shutter.newest(), Ok(1.0), "{protocol}");
        }
        let config = config("protocol = \"lines\"\nquery = \"MEAS:TEMP?\"\nfield = 2", &served);
        let gauge = Gauge::open("thermometer", &config).unwrap();
        std::io::Write::write_all(&mut raw(&served), b"SIM:VAL 31\n").unwrap();
        wait_until("the thread asks", || gauge.newest() == Ok(31.0));
        std::io::Write::write_all(&mut raw(&served), b"SIM:VAL HOT\n").unwrap();
        wait_until("a word is no number", || gauge.newest().is_err_and(|why| why.contains("answers `0,HOT`")));
        drop(served);
        wait_until("nobody answers", || gauge.newest().is_err_and(|why| !why.contains("HOT")));
    }

    fn raw(served: &Served) -> std::net::TcpStream {
        let drivers::Address::Tcp { host, port } = &served.address else { panic!("{}", served.address) };
        std::net::TcpStream::connect((host.as_str(), *port)).unwrap()
    }

    #[test]
    fn one_that_does_not_answer_is_not_opened() {
        let served = served();
        let refused = |text: &str| Gauge::open("gauge", &config(text, &served)).err().unwrap().to_string();
        let text = refused("protocol = \"scpi\"\nquery = \"MEAS:POW?\"");
        assert!(text.contains("cannot be answered"), "{text}");
        assert!(refused("protocol = \"scpi\"\nquery = \"OUTP1 ON\"").contains("ends with `?`"));
        assert!(refused("protocol = \"lines\"\nquery = \"MEAS:TEMP?\"\nfield = 9").contains("is no number"));
    }
}
