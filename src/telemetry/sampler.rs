//! Which traces are kept.
//!
//! <https://opentelemetry.io/docs/specs/otel/trace/sdk/#built-in-samplers>

use crate::config::telemetry::Sampler;

impl Sampler {
    /// Whether a trace is kept, of which the caller's decision is known or not.
    ///
    /// By its id, so that every service with this ratio decides alike.
    pub(crate) fn keeps(&self, trace_id: u128, parent_is_sampled: Option<bool>) -> bool {
        match parent_is_sampled {
            Some(is_sampled) if self.is_parent_based => is_sampled,
            _ => self.is_within_ratio(trace_id),
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "the bound is between 0 and 2^63, and the id's lower half is what is compared"
    )]
    fn is_within_ratio(&self, trace_id: u128) -> bool {
        let bound = (self.ratio * (1_u64 << 63) as f64) as u64;
        ((trace_id as u64) >> 1) < bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_keeps_its_share_and_the_caller_s_word_counts_first() {
        let sampler = Sampler { is_parent_based: true, ratio: 0.25 };
        // Evenly spread ids.
        let ids =
            (0..10_000_u128).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15) & u128::from(u64::MAX));
        let kept = ids.filter(|id| sampler.keeps(*id, None)).count();
        assert!((2400..2600).contains(&kept), "{kept}");
        assert!(sampler.keeps(u128::MAX, Some(true)) && !sampler.keeps(0, Some(false)));
        let alone = Sampler { is_parent_based: false, ratio: 0.0 };
        assert!(!alone.keeps(0, Some(true)));
        let all = Sampler { is_parent_based: false, ratio: 1.0 };
        assert!(all.keeps(u128::MAX, Some(false)) && all.keeps(0, None));
    }
}
