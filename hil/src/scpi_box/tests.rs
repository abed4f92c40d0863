//! The mandatory commands of IEEE 488.2 and SCPI-99, one test each or in small groups: `docs/scpi.md` lists them.

use super::{Call, Parameter, QUEUE, Response, ScpiBox, ScpiClient, ScpiError, ScpiInstrument, Table, first_message};

/// Two voltages, a measurement that goes on until it is triggered, and a format for each client.
#[derive(Default)]
struct Knobs {
    volts: [f64; 2],
    measures: bool,
}

impl Knobs {
    fn volts(&mut self, call: &Call<'_, bool>) -> Result<&mut f64, ScpiError> {
        self.volts.get_mut(call.number_of(0)?.wrapping_sub(1)).ok_or(ScpiError::SUFFIX_OUT_OF_RANGE)
    }
}

impl ScpiInstrument for Knobs {
    type Client = bool;

    fn identity(&self) -> [String; 3] {
        ["pnnlab".into(), "Knobs (simulated)".into(), "1".into()]
    }

    fn table(&self) -> Table<Self> {
        Table::<Self>::new()
            .setting(
                "SOURce#:VOLTage[:LEVel]",
                Parameter::number("V", -1.0..=1.0),
                |it, call| {
                    *it.volts(call)? = call.number(0)?;
                    Ok(())
                },
                |it, call| it.volts(call).map(|volts| Response::text(*volts)),
            )
            .command("INITiate", [], |it, _| {
                it.measures = true;
                Ok(())
            })
            .setting(
                "FORMat:WORDs",
                Parameter::boolean(),
                |_, call| {
                    *call.client = call.on(0)?;
                    Ok(())
                },
                |_, call| Ok(Response::quoted(if *call.client { "words \"on\"" } else { "" })),
            )
            .query("ECHO?", [Parameter::text(), Parameter::block().optional()], |_, call| {
                Ok(Response::block(call.bytes(1).unwrap_or(call.text(0)?.as_bytes())))
            })
            .command("OWN", [], |_, _| Err(ScpiError::new(9506, "Mine")))
    }

    fn reset(&mut self) {
        *self = Self::default();
    }

    fn trigger(&mut self) -> Result<(), ScpiError> {
        if std::mem::take(&mut self.measures) { Ok(()) } else { Err(ScpiError::TRIGGER_IGNORED) }
    }

    fn is_busy(&self) -> bool {
        self.measures
    }

    fn conditions(&self) -> (u16, u16) {
        (u16::from(self.measures) << 4, u16::from(self.volts[0] == 1.0))
    }
}

/// The instrument with one client.
struct Bench {
    instrument: ScpiBox,
    client: ScpiClient,
}

impl Bench {
    fn new() -> Self {
        let instrument = ScpiBox::new(Knobs::default());
        let client = instrument.client();
        Self { instrument, client }
    }

    /// What a message is answered with at once.
    fn ask(&mut self, message: &str) -> String {
        self.may_wait(message).unwrap_or_else(|| panic!("{message} waits"))
    }

    fn may_wait(&mut self, message: &str) -> Option<String> {
        let answer = self.instrument.message(&mut self.client, message.as_bytes());
        answer.map(|answer| String::from_utf8_lossy(&answer).into_owned())
    }

    /// The number of the error that a message makes.
    fn code(&mut self, message: &str) -> i32 {
        self.ask(message);
        self.ask("SYST:ERR:CODE?").parse().unwrap()
    }
}

#[test]
fn idn_says_who_it_is_and_ends_its_message() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("*IDN?"), "pnnlab,Knobs (simulated),1,1.0");
    assert_eq!(bench.ask("*IDN?;*OPC?"), "pnnlab,Knobs (simulated),1,1.0", "nobody could tell where it ends");
    assert_eq!(bench.ask("SYST:ERR:CODE?"), "-440");
    bench.instrument.change_firmware();
    assert!(bench.ask("*IDN?").ends_with(",2.0"));
    assert_eq!(bench.code("*IDN? 1"), -108);
}

#[test]
fn cls_forgets_errors_and_events_and_keeps_masks() {
    let mut bench = Bench::new();
    bench.ask("*ESE 255;*SRE 32;STAT:OPER:ENAB 16;INIT;NONSENSE");
    assert_eq!(bench.ask("*CLS;*ESR?;*STB?;STAT:OPER?"), "0;16;0", "16: an answer waits");
    assert_eq!(bench.ask("SYST:ERR:COUN?;:*ESE?"), "0", "a common command has no colon");
    assert_eq!(bench.ask("*ESE?;*SRE?;STAT:OPER:ENAB?"), "255;32;16");
}

#[test]
fn ese_masks_what_of_esr_reaches_the_status_byte() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("*ESR?;*ESR?"), "128;0", "power-on is told once");
    bench.ask("*ESE 32");
    assert_eq!(bench.ask("*ESE?"), "32");
    bench.ask("NONSENSE");
    assert_eq!(bench.ask("*STB?"), "36", "an error waits, and it is a command error");
    bench.ask("*ESE 16.4");
    assert_eq!(bench.ask("*ESE?"), "16", "numbers are rounded");
    assert_eq!(bench.ask("*STB?"), "4");
    assert_eq!(
        [bench.code("*CLS;*ESE 256"), bench.code("*ESE -1"), bench.code("*ESE"), bench.code("*ESE x")],
        [-222, -222, -109, -224]
    );
    assert_eq!(bench.ask("*ESE #HFF;*ESE?"), "255");
}

#[test]
fn esr_tells_each_kind_of_error_by_its_bit() {
    for (message, bit) in [("NONSENSE", 32), ("SOUR1:VOLT 9", 16), ("OWN", 8), ("*IDN?;*ESE?", 4), ("*OPC", 1)] {
        let mut bench = Bench::new();
        bench.ask("*CLS");
        bench.ask(message);
        assert_eq!(bench.ask("*ESR?;*ESR?"), format!("{bit};0"), "{message}");
    }
}

#[test]
fn sre_masks_what_of_the_status_byte_asks_for_service() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("*SRE 255;*SRE?"), "191", "bit 6 is not kept");
    bench.ask("*SRE 4");
    assert_eq!(bench.ask("*STB?"), "0");
    bench.ask("NONSENSE");
    assert_eq!(bench.ask("*STB?"), "68", "an error waits, and service is requested");
    assert_eq!(bench.code("*CLS;*SRE 256"), -222);
}

#[test]
fn opc_is_told_when_nothing_goes_on_any_more() {
    let mut bench = Bench::new();
    bench.ask("*CLS;INIT;*OPC");
    assert_eq!(bench.ask("*ESR?"), "0");
    bench.ask("*TRG");
    assert_eq!(bench.ask("*ESR?"), "1");
    bench.ask("INIT;*OPC;*CLS;*TRG");
    assert_eq!(bench.ask("*ESR?"), "0", "*CLS forgets that somebody waits");
}

#[test]
fn opc_query_and_wai_wait_with_all_that_follows() {
    for wait in ["*OPC?", "*WAI;*OPC?"] {
        let mut bench = Bench::new();
        assert_eq!(bench.ask(wait), "1", "nothing goes on");
        assert_eq!(bench.may_wait(&format!("INIT;SOUR:VOLT 0.5;VOLT?;{wait};VOLT 0.25;VOLT?")), None);
        assert_eq!(bench.instrument.go_on(&mut bench.client), None);
        let mut other = bench.instrument.client();
        assert_eq!(bench.instrument.message(&mut other, b"SOUR:VOLT?;*TRG").unwrap(), b"0.5", "others do not wait");
        assert_eq!(bench.instrument.go_on(&mut bench.client).unwrap(), b"0.5;1;0.25");
    }
    assert_eq!(Bench::new().code("*WAI 1"), -108);
}

#[test]
fn rst_resets_the_instrument_and_not_its_status() {
    let mut bench = Bench::new();
    bench.ask("*ESE 60;SOUR:VOLT 0.5;:FORM:WORD ON;:NONSENSE");
    assert_eq!(bench.ask("*RST;SOUR:VOLT?;:FORM:WORD?;*ESE?;*ESR?"), "0;\"\";60;160");
    assert_eq!(bench.ask("SYST:ERR:COUN?"), "1");
}

#[test]
fn tst_finds_nothing_and_trg_triggers() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("*TST?"), "0");
    assert_eq!([bench.code("*TRG"), bench.code("INIT;*TRG")], [-211, 0]);
}

#[test]
fn stb_gathers_the_summaries() {
    let mut bench = Bench::new();
    bench.ask("*CLS;STAT:OPER:ENAB 16;:STAT:QUES:ENAB 1;:INIT;:SOUR:VOLT 1");
    assert_eq!(bench.ask("*STB?"), "136", "operation and questionable");
    assert_eq!(bench.ask("STAT:OPER?;*STB?"), "16;24");
    assert_eq!(bench.ask("STAT:QUES:EVENT?;*STB?"), "1;16");
}

#[test]
fn system_error_is_a_queue_that_says_when_it_was_full() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("SYST:ERR?;:SYSTEM:ERROR:NEXT?"), "0,\"No error\";0,\"No error\"");
    bench.ask("A:B;SOUR1:VOLT 5");
    assert_eq!(bench.ask("SYST:ERR:COUN?"), "2");
    assert_eq!(bench.ask("SYST:ERR?"), "-113,\"Undefined header;A:B\"", "the oldest first");
    assert_eq!(bench.ask("SYST:ERR?"), "-113,\"Undefined header;A:SOUR1:VOLT\"", "the path goes on");
    for number in 0..QUEUE + 3 {
        bench.ask(&format!("N{number}"));
    }
    let entries: Vec<String> = (0..=QUEUE).map(|_| bench.ask("SYST:ERR?")).collect();
    assert_eq!(entries[0], "-113,\"Undefined header;N0\"");
    assert_eq!(entries[QUEUE - 1], "-350,\"Queue overflow\"");
    assert_eq!(entries[QUEUE], "0,\"No error\"");
    bench.ask("A;OWN");
    assert_eq!(bench.ask("SYST:ERR:CODE:ALL?;:SYST:ERR:ALL?"), "-113,9506;0,\"No error\"");
}

#[test]
fn system_version_and_headers() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("SYST:VERS?"), "1999.0");
    let headers = bench.ask("SYSTEM:HELP:HEADERS?");
    for header in ["SOURce#:VOLTage[:LEVel]?", "*IDN?", "STATus:OPERation[:EVENt]?", "SYSTem:ERRor[:NEXT]?"] {
        assert!(headers.lines().any(|line| line == header || line.ends_with(header)), "{header} in {headers}");
    }
}

#[test]
fn status_operation_and_questionable_have_conditions_filters_events_and_masks() {
    for (name, up, down, bit) in [
        ("OPER", "INIT", "*TRG", 16),
        ("QUES", "SOUR:VOLT 1", ":SOUR:VOLT 0", 1),
        ("QUEStionable", "SOUR:VOLT 1", "*RST", 1),
    ] {
        let mut bench = Bench::new();
        let mut ask = |message: &str| bench.ask(&message.replace("REG", &format!("STAT:{name}")));
        assert_eq!(ask("REG:COND?;:REG:EVEN?;ENAB?;PTR?;NTR?"), "0;0;0;32767;0");
        ask(up);
        assert_eq!(ask("REG:COND?;:REG?;:REG:EVENT?"), format!("{bit};{bit};0"), "an event is told once");
        ask(&format!("REG:PTR 0;NTR {bit};{down}"));
        assert_eq!(ask("REG:COND?;:REG?"), format!("0;{bit}"), "its fall is the event");
        ask(up);
        assert_eq!(ask("REG?"), "0");
        assert_eq!(ask("REG:ENAB 65535;ENAB?"), "32767", "bit 15 is never used");
        assert_eq!(ask("REG:ENAB 65536;:SYST:ERR:CODE?"), "-222");
        assert_eq!(ask("STAT:PRES;:REG:ENAB?;PTR?;NTR?"), "0;32767;0");
    }
}

#[test]
fn messages_are_understood_as_the_standard_has_it() {
    let mut bench = Bench::new();
    assert_eq!(bench.ask("sour:volt 0.5;volt?;:SOURCE1:VOLTAGE:LEVEL?;*OPC?;VOLT?"), "0.5;0.5;1");
    bench.ask("*CLS");
    assert_eq!(bench.ask(" ; SOUR2:VOLT\t-500 mV ; ;VOLT? ;"), "-0.5");
    assert_eq!(bench.ask("SOUR2:VOLT? MIN;VOLT? maximum;VOLT? DEF;VOLT?"), "-1;1;0;-0.5");
    assert_eq!(bench.ask("FORM:WORD ON;WORD?"), "\"words \"\"on\"\"\"");
    assert_eq!(bench.ask("ECHO? 'a;b''\"';ECHO? \"\",#15\n;\"'#"), "#15a;b'\";#15\n;\"'#");
    assert_eq!(bench.ask("SYST:ERR?"), "0,\"No error\"");
    for (message, code) in [
        ("SOUR3:VOLT 0", -114),
        ("SOUR:VOLT:LEVE 0", -113),
        ("SOUR1:VOLT", -109),
        ("SOUR1:VOLT 0,0", -108),
        ("SOUR1:VOLT 'a'", -158),
        ("SOUR1:VOLT 1 HZ", -131),
        ("SOUR1:VOLT,1", -111),
        ("SOUR1::VOLT 1", -102),
        ("SOUR1:VOLT 1 2", -103),
        ("SOUR1:VOLT ,", -102),
        ("SOUR1:VOLTAGELEVELS 1", -112),
        ("ECHO? 'open", -151),
        ("ECHO? 'a',#19ab", -161),
        ("$", -101),
    ] {
        assert_eq!(bench.code(message), code, "{message}");
    }
    assert_eq!(bench.ask("NONSENSE;SOUR1:VOLT 0.1;VOLT?"), "0.1", "what is right after an error is done");
}

#[test]
fn each_client_has_a_status_and_a_format_of_its_own_and_power_is_told_to_all() {
    let mut bench = Bench::new();
    let mut other = bench.instrument.client();
    let mut beside = |bench: &mut Bench, message: &str| {
        String::from_utf8(bench.instrument.message(&mut other, message.as_bytes()).unwrap()).unwrap()
    };
    bench.ask("*ESR?;*ESE 3;FORM:WORD ON;:SOUR:VOLT 0.5;:NONSENSE");
    assert_eq!(beside(&mut bench, "*ESR?;*ESE?;SYST:ERR:COUN?;:FORM:WORD?;:SOUR:VOLT?"), "128;0;0;\"\";0.5");
    beside(&mut bench, "*CLS;*ESE 7");
    assert_eq!(bench.ask("*ESE?;SYST:ERR:COUN?"), "3;1");
    bench.instrument.power_cycle();
    for answer in
        [bench.ask("*ESR?;*ESE?;FORM:WORD?;:SOUR:VOLT?"), beside(&mut bench, "*ESR?;*ESE?;FORM:WORD?;:SOUR:VOLT?")]
    {
        assert_eq!(answer, "128;0;\"\";0");
    }
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_cut_into_messages_and_answered_or_refused(
        pieces in proptest::collection::vec("[ -~]{0,6}|[#\"\\n\\r;:?*0-9]{1,8}|SOUR[0-9]?:VOLT |ECHO\\? |\\*OPC", 0..20),
        noise in proptest::collection::vec(proptest::num::u8::ANY, 0..40),
    ) {
        let received = [pieces.concat().into_bytes(), noise].concat();
        for terminator in [drivers::Terminator::Lf, drivers::Terminator::CrLf, drivers::Terminator::Cr] {
            let mut bench = Bench::new();
            let mut rest = &received[..];
            while let Some((message, count)) = first_message(rest, terminator) {
                proptest::prop_assert!(message.len() < count && count <= rest.len());
                let _ = bench.instrument.message(&mut bench.client, message);
                rest = &rest[count..];
            }
            let _ = bench.instrument.message(&mut bench.client, rest);
            let _ = bench.instrument.go_on(&mut bench.client);
        }
    }
}
