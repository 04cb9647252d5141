package fridge

import "testing"

func TestF1Dark(t *testing.T) {
	var f Fridge
	f.Open()
	if f.Shut(); f.Lit || f.Ajar {
		t.Errorf("shut: %+v", f)
	}
}

func TestF2Lit(t *testing.T) {
	var f Fridge
	if f.Open(); !f.Lit || !f.Ajar {
		t.Errorf("open: %+v", f)
	}
}
