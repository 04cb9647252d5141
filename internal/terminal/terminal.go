// Package terminal detects whether the output of a program is a terminal.
package terminal

import "os"

// Is reports whether v is a terminal that supports escape sequences. getenv is os.Getenv, except in tests.
func Is(v any, getenv func(string) string) bool {
	f, ok := v.(*os.File)
	if !ok || getenv("TERM") == "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
