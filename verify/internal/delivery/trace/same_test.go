package trace

import (
	"testing"

	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// With the build tag the model is the same, except for its room. Its small models have the states
// and edges that TLC has counted.
func TestTracesModelIsTheSame(t *testing.T) {
	needsRoom(t)
	checked := 0
	for _, pin := range model.Pins() {
		if pin.Counts.States > 4000 {
			continue
		}
		counts, taken := pin.Graph().Counts()
		if counts != pin.Counts {
			t.Errorf("%s: %v, TLC has %v", pin.Model, counts, pin.Counts)
		}
		for _, a := range model.Actions() {
			if taken[a] != pin.Taken[a] {
				t.Errorf("%s: %v is taken %d times, by TLC %d times", pin.Model, a, taken[a], pin.Taken[a])
			}
		}
		checked++
	}
	if checked == 0 {
		t.Error("no model is that small")
	}
	t.Logf("%d models", checked)
}
