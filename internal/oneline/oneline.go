// Package oneline makes text from elsewhere, a file, a broker, an error, fit for a line
// of a terminal.
package oneline

import (
	"fmt"
	"strconv"
	"strings"
)

var unquoted = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

// Escape returns s with what does not print (a line feed, an escape sequence, a mark that
// turns the direction of what follows, a byte that is no UTF-8) as strconv.Quote
// writes it, and the rest as it is.
func Escape(s string) string {
	quoted := strconv.Quote(s)
	return unquoted.Replace(quoted[1 : len(quoted)-1])
}

// Text returns what fmt.Sprint makes of v, an error or what was passed to panic, also
// where fmt itself panics: v's methods are foreign.
func Text(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("(a %T that cannot be printed)", v)
		}
	}()
	return fmt.Sprint(v)
}
