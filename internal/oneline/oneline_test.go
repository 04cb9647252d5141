package oneline

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestEscape(t *testing.T) {
	for s, want := range map[string]string{
		"":                                 "",
		`plain, "quoted" \n \\ über ✗`:     `plain, "quoted" \n \\ über ✗`,
		"two\nlines\r\t":                   `two\nlines\r\t`,
		"\x1b[31mred\x1b[0m\a":             `\x1b[31mred\x1b[0m\a`,
		"\u202egnp.exe \u2028\u009b2J":     `\u202egnp.exe \u2028\u009b2J`,
		"\xff\x9b2J, a replacement \ufffd": `\xff\x9b2J, a replacement ` + "\ufffd",
	} {
		if got := Escape(s); got != want {
			t.Errorf("%q: %s; want %s", s, got, want)
		}
	}
}

// For any input, the output can be printed, and printable text is unchanged.
func FuzzEscape(f *testing.F) {
	f.Add("a\x1b[2J\\\"")
	f.Fuzz(func(t *testing.T, s string) {
		got := Escape(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("%q: %q", s, got)
		}
		if utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) && got != s {
			t.Errorf("%q: %q; want it as it is", s, got)
		}
	})
}

// unprintable is an error whose Error panics with the error itself: fmt gives up on that.
type unprintable struct{}

func (unprintable) Error() string { panic(unprintable{}) }

// formatted is an error whose Format does the same.
type formatted struct{}

func (formatted) Error() string          { return "not asked" }
func (formatted) Format(fmt.State, rune) { panic(unprintable{}) }

func TestText(t *testing.T) {
	for want, v := range map[string]any{
		"boom":  errors.New("boom"),
		"<nil>": nil,
		"(a oneline.unprintable that cannot be printed)": unprintable{},
		"(a oneline.formatted that cannot be printed)":   formatted{},
		"7": 7,
	} {
		if got := Text(v); got != want {
			t.Errorf("%T: %s; want %s", v, got, want)
		}
	}
}

func TestLine(t *testing.T) {
	for want, v := range map[string]any{
		`a\x1b[2J; b\u2028c`:                             errors.Join(errors.New("a\x1b[2J"), errors.New("b\u2028c")),
		"(a oneline.unprintable that cannot be printed)": unprintable{},
	} {
		if got := Line(v); got != want {
			t.Errorf("%T: %s; want %s", v, got, want)
		}
	}
}
