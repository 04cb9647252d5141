package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// A jsonLine is a message as a line of JSON: consume -json writes it, and produce -json reads it.
// Bytes that are not UTF-8 are in the fields that end in 64, in base64. A value of null, or none,
// is a tombstone.
type jsonLine struct {
	Key     *string      `json:"key,omitempty"`
	Key64   []byte       `json:"key64,omitempty"`
	Value   *string      `json:"value"`
	Value64 []byte       `json:"value64,omitempty"`
	Headers []jsonHeader `json:"headers,omitempty"`
	Time    time.Time    `json:"time,omitzero"`

	// Where the message was read; produce ignores these fields.
	Topic     string `json:"topic,omitempty"`
	Partition *int32 `json:"partition,omitempty"`
	Offset    *int64 `json:"offset,omitempty"`
}

type jsonHeader struct {
	Key     *string `json:"key,omitempty"`
	Key64   []byte  `json:"key64,omitempty"`
	Value   *string `json:"value,omitempty"`
	Value64 []byte  `json:"value64,omitempty"`
}

func textOrBytes(b []byte) (*string, []byte) {
	if b == nil || !utf8.Valid(b) {
		return nil, b
	}
	text := string(b)
	return &text, nil
}

func bytesOf(text *string, b []byte, name string) ([]byte, error) {
	switch {
	case text != nil && b != nil:
		return nil, fmt.Errorf("the JSON has both %q and %q: want one", name, name+"64")
	case text != nil:
		return []byte(*text), nil
	}
	return b, nil
}

func fromRecord(r *kgo.Record) jsonLine {
	l := jsonLine{Topic: r.Topic, Partition: &r.Partition, Offset: &r.Offset}
	if inRange(r.Timestamp) {
		l.Time = r.Timestamp
	}
	l.Key, l.Key64 = textOrBytes(r.Key)
	l.Value, l.Value64 = textOrBytes(r.Value)
	for _, h := range r.Headers {
		var one jsonHeader
		one.Key, one.Key64 = textOrBytes([]byte(h.Key))
		one.Value, one.Value64 = textOrBytes(h.Value)
		l.Headers = append(l.Headers, one)
	}
	return l
}

// parseJSON reads a message from a line.
func parseJSON(text []byte) (m kafka.Message, err error) {
	var l *jsonLine
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil || l == nil {
		if err == nil {
			err = errors.New("null")
		}
		return m, fmt.Errorf("not a message in JSON, such as {\"key\":\"k\",\"value\":\"v\"}: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return m, errors.New("more follows the JSON on the line")
	}
	if !utf8.Valid(text) || hasLoneSurrogate(text) { // package json would replace it
		return m, errors.New("the JSON has bytes or escapes that are not UTF-8: want these in key64 or value64, in base64")
	}
	m.Time = l.Time
	if m.Key, err = bytesOf(l.Key, l.Key64, "key"); err != nil {
		return m, err
	}
	if m.Value, err = bytesOf(l.Value, l.Value64, "value"); err != nil {
		return m, err
	}
	for _, h := range l.Headers {
		key, err := bytesOf(h.Key, h.Key64, "key")
		if err != nil {
			return m, err
		}
		value, err := bytesOf(h.Value, h.Value64, "value")
		if err != nil {
			return m, err
		}
		m.Headers = append(m.Headers, kafka.Header{Key: string(key), Value: value})
	}
	return m, nil
}

// hasLoneSurrogate reports whether JSON has an escape such as \ud800 that is half of a character.
func hasLoneSurrogate(text []byte) bool {
	escaped := func(at int) (r rune, ok bool) {
		if at+6 > len(text) || text[at] != '\\' || text[at+1] != 'u' {
			return 0, false
		}
		n, err := strconv.ParseUint(string(text[at+2:at+6]), 16, 16)
		return rune(n), err == nil
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		r, ok := escaped(i)
		switch {
		case !ok:
			i++ // the escaped character
		case utf16.IsSurrogate(r):
			if second, _ := escaped(i + 6); utf16.DecodeRune(r, second) == utf8.RuneError {
				return true
			}
			i += 11
		}
	}
	return false
}
