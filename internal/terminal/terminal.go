// Package terminal has what programs need that print to a terminal, or to something else.
package terminal

import (
	"fmt"
	"os"
)

// Is reports whether v is a terminal that supports escape sequences. getenv is os.Getenv, except in tests.
func Is(v any, getenv func(string) string) bool {
	f, ok := v.(*os.File)
	if !ok || getenv("TERM") == "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// The codes of colours.
const (
	Bold   = "1"
	Faint  = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// Paint returns text in a colour; if on is false, text as it is.
func Paint(on bool, code, text string) string {
	if !on {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Commas writes n with its thousands apart.
func Commas[T int | int64](n T) string {
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
