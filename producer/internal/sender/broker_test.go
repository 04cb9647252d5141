package sender

import (
	"testing"
	"time"
)

// A throttle lasts as long as the broker asked for, also if the wall clock is set back meanwhile.
// The longer one of two counts.
func TestThrottleByTheMonotonicClock(t *testing.T) {
	b := &Broker{cfg: &Config{Counters: new(Counters)}}
	if wait := b.mutedFor(); wait != 0 {
		t.Errorf("%v before a throttle", wait)
	}
	b.throttle(time.Hour)
	b.throttle(time.Millisecond)
	if wait := b.mutedFor(); wait > maxThrottle || wait < maxThrottle/2 {
		t.Errorf("%v, want some %v", wait, maxThrottle)
	}
	if until := *b.muted.Load(); until == until.Round(0) {
		t.Errorf("%v has no monotonic time", until)
	}
}
