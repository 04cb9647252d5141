// Package terminal tells whether what a program writes is read in a terminal.
package terminal

import "os"

// Is reports whether v is a terminal that can show more than lines of text. getenv is os.Getenv, or a test's.
func Is(v any, getenv func(string) string) bool {
	f, ok := v.(*os.File)
	if !ok || getenv("TERM") == "" || getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
