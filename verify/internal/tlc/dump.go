package tlc

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// Visitor receives the content of a dump, in its order. An edge can come before the state that it
// leads to. The byte slices are only valid during the call.
type Visitor struct {
	State func(id int64, text []byte, initial bool) error // text: the state as TLC prints it
	Edge  func(from, to int64, label []byte) error
}

// ReadDump reads the output of TLC's -dump dot,actionlabels. It is strict: an unknown line, and a
// file that ends early, are errors.
func ReadDump(r io.Reader, v Visitor) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 1<<20), 1<<28) // the states of one rank are on one line
	d := dump{Visitor: v}
	n := 0
	for lines.Scan() {
		n++
		if err := d.line(lines.Bytes()); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("after line %d: %w", n, err)
	}
	if d.opened == 0 || d.opened != d.closed {
		return fmt.Errorf("line %d: the dump ends before its graph does", n)
	}
	return nil
}

type dump struct {
	Visitor
	opened, closed int
	text           []byte
}

func (d *dump) line(line []byte) error {
	switch {
	case len(line) > 0 && (line[0] == '-' || '0' <= line[0] && line[0] <= '9'):
		return d.node(line)
	case bytes.HasPrefix(line, []byte("strict digraph ")), bytes.HasPrefix(line, []byte("subgraph ")):
		d.opened++
	case string(line) == "}":
		d.closed++
	case bytes.HasPrefix(line, []byte("{rank = same; ")):
	case bytes.HasPrefix(line, []byte("nodesep=")), bytes.HasPrefix(line, []byte("color=")):
	default:
		return fmt.Errorf("unknown line: %.80q", line)
	}
	return nil
}

var (
	arrow   = []byte(" -> ")
	labelIs = []byte(` [label="`)
)

func (d *dump) node(line []byte) error {
	from, rest, err := number(line)
	if err != nil {
		return err
	}
	to, edge := int64(0), bytes.HasPrefix(rest, arrow)
	if edge {
		if to, rest, err = number(rest[len(arrow):]); err != nil {
			return err
		}
	}
	if !bytes.HasPrefix(rest, labelIs) {
		return fmt.Errorf("want a label after %d: %.80q", from, rest)
	}
	rest, err = d.quoted(rest[len(labelIs):])
	if err != nil {
		return err
	}
	switch tail := string(rest); {
	case edge && tail == `,color="black",fontcolor="black"];`:
		return d.Edge(from, to, d.text)
	case !edge && tail == `];`:
		return d.State(from, d.text, false)
	case !edge && tail == `,style = filled]`:
		return d.State(from, d.text, true)
	default:
		return fmt.Errorf("unknown attributes: %.80q", tail)
	}
}

// quoted undoes the escapes of a string into d.text and returns what follows its closing quote.
func (d *dump) quoted(b []byte) ([]byte, error) {
	d.text = d.text[:0]
	for {
		i := bytes.IndexAny(b, `"\`)
		if i < 0 || b[i] == '\\' && i+1 == len(b) {
			return nil, errors.New("a string does not end")
		}
		d.text = append(d.text, b[:i]...)
		if b[i] == '"' {
			return b[i+1:], nil
		}
		switch b[i+1] {
		case 'n':
			d.text = append(d.text, '\n')
		case '"', '\\':
			d.text = append(d.text, b[i+1])
		default:
			return nil, fmt.Errorf("unknown escape \\%c", b[i+1])
		}
		b = b[i+2:]
	}
}

// number reads a fingerprint: TLC's name of a state.
func number(b []byte) (int64, []byte, error) {
	i := 0
	for i < len(b) && (b[i] == '-' || '0' <= b[i] && b[i] <= '9') {
		i++
	}
	n, err := strconv.ParseInt(string(b[:i]), 10, 64)
	return n, b[i:], err
}
