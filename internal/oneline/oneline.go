// Package oneline makes foreign text (of a file, a broker, an error) safe for one line of a
// terminal.
package oneline

import (
	"fmt"
	"strconv"
	"strings"
)

var unquoted = strings.NewReplacer(`\\`, `\`, `\"`, `"`)

// Escape returns s with every character that does not print (a line feed, an escape
// sequence, a mark that changes the direction of text, invalid UTF-8) as strconv.Quote
// writes it.
func Escape(s string) string {
	quoted := strconv.Quote(s)
	return unquoted.Replace(quoted[1 : len(quoted)-1])
}

// Text returns fmt.Sprint(v) for an error or a recovered value. v's methods are foreign: if one
// panics, Text returns a replacement.
func Text(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("(a %T that cannot be printed)", v)
		}
	}()
	return fmt.Sprint(v)
}

// Line returns Text(v) on one line: a line feed, as between joined errors, becomes "; ", and
// every other character that does not print is escaped.
func Line(v any) string { return Escape(strings.ReplaceAll(Text(v), "\n", "; ")) }
