package tlc

import "testing"

func TestVerdicts(t *testing.T) {
	const end = "12 states generated, 7 distinct states found, 0 states left on queue.\n"
	for _, test := range []struct {
		log, broken string
		states      int
		understood  bool
	}{
		{"Model checking completed. No error has been found.\n" + end, "", 7, true},
		{"Error: Invariant NoLeak is violated.\n", "NoLeak", 0, true},
		{"Error: Action property StopWins is violated.\n", "StopWins", 0, true},
		{"Error: Deadlock reached.\n", "Deadlock", 0, true},
		{"Error: Temporal properties were violated.\n" + end, Temporal, 7, true},
		{"Error: TLC threw an unexpected exception.\n", "", 0, false},
		{"", "", 0, false},
	} {
		v, ok := verdict(test.log)
		if v.Broken != test.broken || v.States != test.states || ok != test.understood {
			t.Errorf("%q: got %q, %d states, %v", test.log, v.Broken, v.States, ok)
		}
	}
}
