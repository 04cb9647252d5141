package proof

import (
	"slices"
	"strings"
	"testing"
)

const root = "../../../.."

// Every change to a configuration finds what it should change, and changes nothing else.
func TestConfigurations(t *testing.T) {
	for name, m := range modes {
		for _, c := range m.models {
			if _, err := c.config(root); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for _, test := range []struct {
		what   change
		before string
		after  string // "": refused
	}{
		{restarts, "CONSTANTS\n    Retries  = TRUE\n    MaxRestarts = 0\n    MaxCalls = 2\n", "CONSTANTS\n    Retries = FALSE\n    MaxRestarts = 1\n    MaxCalls = 2\n"},
		{few, "CONSTANTS\n    MaxCalls = 2\n", ""},
		{statesOnly, "INVARIANTS\n    Inv\nPROPERTIES\n    Idempotence\n", "INVARIANTS\n    Inv\n"},
		{statesOnly, "INVARIANTS\n    Inv\n", ""},
		{without("UsesFit"), "NEXT Next\nCONSTANTS\n    MaxCalls = 2\n", "NEXT Next\nCONSTANTS\n    UsesFit <- Nothing\n    MaxCalls = 2\n"},
		{without("UsesFit"), "NEXT Next\n", ""},
	} {
		if got, ok := test.what(test.before); ok != (test.after != "") || ok && got != test.after {
			t.Errorf("%q: got %q, %v", test.before, got, ok)
		}
	}
}

// What TLC is to refute are conjuncts of Inv.
func TestRefutable(t *testing.T) {
	all, err := refutable(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 21 || slices.Contains(all, "GenFits") {
		t.Errorf("%d conjuncts: %s; want the 26 of Inv but for %s", len(all), strings.Join(all, " "), strings.Join(irrefutable, " "))
	}
	for _, conjunct := range modes["ci"].without {
		if !slices.Contains(all, conjunct) {
			t.Errorf("ci leaves out %s, which is not among %s", conjunct, strings.Join(all, " "))
		}
	}
}
