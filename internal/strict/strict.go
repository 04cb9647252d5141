// Package strict reads a file of JSON that surestart wrote.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Decode reads one JSON value. It returns an error for unknown fields, for truncated input,
// and for anything except white space after the value.
func Decode(from io.Reader, into any) error {
	in := json.NewDecoder(from)
	in.DisallowUnknownFields()
	switch err := in.Decode(into); {
	case errors.Is(err, io.EOF):
		return errors.New("truncated: it is empty")
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("truncated: the value is not complete")
	case err != nil:
		return err
	}
	end := in.InputOffset()
	if _, err := in.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("more input follows the value, after byte %d", end)
	}
	return nil
}

// Has reports whether the text begins as an object with that key. It may be truncated, or more may follow: Decode reports
// that.
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
