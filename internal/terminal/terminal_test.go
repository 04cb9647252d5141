package terminal

import "testing"

func TestCommas(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000", -100: "-100"} {
		if got := Commas(n); got != want {
			t.Errorf("Commas(%d) = %s, want %s", n, got, want)
		}
	}
}
