//! Which traces are kept (`OTEL_TRACES_SAMPLER`).

/// Decides by the id of a trace. No span of pgvalet has a parent, so the samplers
/// `parentbased_…` decide as their roots do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sampler {
    Always,
    Never,
    /// This part of all traces, from 0 to 1.
    Ratio(f64),
}

impl Sampler {
    /// The sampler that OpenTelemetry gives this name.
    ///
    /// # Errors
    /// What is wrong.
    pub fn named(name: &str, argument: Option<&str>) -> Result<Self, String> {
        match name.strip_prefix("parentbased_").unwrap_or(name) {
            "always_on" => Ok(Self::Always),
            "always_off" => Ok(Self::Never),
            "traceidratio" => match argument.unwrap_or("1").trim().parse() {
                Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(Self::Ratio(ratio)),
                _ => Err("OTEL_TRACES_SAMPLER_ARG is not a number from 0 to 1".to_owned()),
            },
            _ => Err(format!("OTEL_TRACES_SAMPLER={name:?} is not known")),
        }
    }

    /// Whether the trace is kept. All programs decide the same of a trace: by its last bytes, as
    /// OpenTelemetry's `TraceIdRatioBased` does.
    pub fn keeps(self, trace: [u8; 16]) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Ratio(ratio) => {
                let [.., a, b, c, d, e, f, g, h] = trace;
                let random = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 11;
                #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
                let random = random as f64 / (1_u64 << 53) as f64;
                random < ratio
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_arguments() {
        let named = Sampler::named;
        assert_eq!(named("always_on", None), Ok(Sampler::Always));
        assert_eq!(named("parentbased_always_off", None), Ok(Sampler::Never));
        let ratio = named("parentbased_traceidratio", Some("0.25"));
        assert_eq!(ratio, Ok(Sampler::Ratio(0.25)));
        assert_eq!(named("traceidratio", None), Ok(Sampler::Ratio(1.0)));
        for wrong in ["-1", "2", "NaN", "many", ""] {
            assert!(named("traceidratio", Some(wrong)).is_err(), "{wrong}");
        }
        assert!(named("sometimes", None).is_err());
    }

    #[test]
    fn a_ratio_keeps_that_part_of_all_traces() {
        for (ratio, expected) in [(0.0, 0), (0.25, 64), (1.0, 256)] {
            let kept = (0..=255).filter(|n| {
                let mut trace = [255; 16];
                trace[8] = *n;
                Sampler::Ratio(ratio).keeps(trace)
            });
            assert_eq!(kept.count(), expected, "{ratio}");
        }
    }
}
