// Package strict reads a file of JSON that this program wrote.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode reads one JSON value, and refuses what it has no field for, an end before the
// value's own, and whatever but white space follows it.
func Decode(from io.Reader, into any) error {
	in := json.NewDecoder(from)
	in.DisallowUnknownFields()
	switch err := in.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("truncated: it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("truncated: it ends before its end")
	case err != nil:
		return err
	}
	end := in.InputOffset()
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows its end, after byte %d", end)
	}
	return nil
}

// Has reports whether the text is an object with that key, as far as can be read: it may be truncated, or followed by
// something, which is said by what reads it.
func Has(text []byte, key string) bool {
	in := json.NewDecoder(bytes.NewReader(text))
	if start, err := in.Token(); err != nil || start != json.Delim('{') {
		return false
	}
	var value json.RawMessage
	for in.More() {
		switch name, err := in.Token(); {
		case err != nil:
			return false
		case name == key:
			return true
		}
		if in.Decode(&value) != nil {
			return false
		}
	}
	return false
}
