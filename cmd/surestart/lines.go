package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/segmentio/kafka-go"
)

const (
	batchLines = 500
	batchBytes = 256 << 10
	longest    = 16 << 20 // a line; the brokers' limit is a sixteenth of it by default
)

// A batch is consecutive lines of one file.
type batch struct {
	file  string
	first int // the number of the first line, from 1
	msgs  []kafka.Message
}

// lines reads files one after the other, in batches of bounded size. A batch has the lines that can
// be read without waiting, so that a slow input does not delay them.
type lines struct {
	files     []string // "-" means in
	in        io.Reader
	asJSON    bool
	headers   []kafka.Header // of every message
	separator string         // between key and value; empty: there are no keys

	batches chan batch    // closed at the end of the last file, or after an error
	quit    chan struct{} // closed: read no further
	err     error         // why the reading ended early; valid once batches is closed
	atEnd   atomic.Bool   // everything was read
}

func newLines(files []string, in io.Reader) *lines {
	if len(files) == 0 {
		files = []string{"-"}
	}
	return &lines{files: files, in: in, batches: make(chan batch), quit: make(chan struct{})}
}

// check opens each file once, before any line is sent.
func (l *lines) check() error {
	for _, name := range l.files {
		if name == "-" {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		info, err := f.Stat()
		f.Close()
		if err == nil && info.IsDir() {
			err = fmt.Errorf("%s is a directory", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// namesFiles reports whether any input is a file: a file has an end that an early stop can miss.
func (l *lines) namesFiles() bool {
	for _, name := range l.files {
		if name != "-" {
			return true
		}
	}
	return false
}

var errQuit = errors.New("interrupted")

func (l *lines) read() {
	defer close(l.batches)
	for _, name := range l.files {
		if err := l.readFile(name); err != nil {
			l.err = err
			return
		}
	}
	l.atEnd.Store(true)
}

func (l *lines) readFile(name string) error {
	in := l.in
	if name == "-" {
		name = "standard input"
	} else {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	r := bufio.NewReaderSize(in, 64<<10)
	b := batch{file: name, first: 1}
	size := 0
	give := func() error {
		if len(b.msgs) == 0 {
			return nil
		}
		select {
		case l.batches <- b:
			b = batch{file: name, first: b.first + len(b.msgs)}
			size = 0
			return nil
		case <-l.quit:
			return errQuit
		}
	}
	for {
		text, err := readLine(r)
		if err != nil && err != io.EOF {
			return errors.Join(give(), fmt.Errorf("%s:%d: %w", name, b.first+len(b.msgs), err))
		}
		if len(text) > 0 {
			m, bad := l.message(bytes.TrimRight(text, "\r\n"))
			if bad != nil {
				at := b.first + len(b.msgs)
				if err := give(); err != nil {
					return err
				}
				return fmt.Errorf("%s:%d: %w", name, at, bad)
			}
			b.msgs = append(b.msgs, m)
			size += len(text)
		}
		if err == io.EOF || len(b.msgs) >= batchLines || size >= batchBytes || !hasLine(r) {
			if given := give(); given != nil {
				return given
			}
		}
		if err == io.EOF {
			return nil
		}
	}
}

// readLine returns a line with its line end, in newly allocated memory. The last line may have no
// line end.
func readLine(r *bufio.Reader) ([]byte, error) {
	var text []byte
	for {
		piece, err := r.ReadSlice('\n')
		text = append(text, piece...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, err
		}
		if len(text) > longest {
			return nil, fmt.Errorf("the line is longer than %d MiB", longest>>20)
		}
	}
}

// hasLine reports whether the next line can be read without waiting.
func hasLine(r *bufio.Reader) bool {
	buffered, _ := r.Peek(r.Buffered())
	return bytes.IndexByte(buffered, '\n') >= 0
}

func (l *lines) message(text []byte) (m kafka.Message, err error) {
	if text == nil {
		text = []byte{} // an empty line is an empty message; nil would be a tombstone
	}
	switch {
	case l.asJSON:
		m, err = parseJSON(text)
	case l.separator == "":
		m.Value = text
	default:
		var found bool
		if m.Key, m.Value, found = bytes.Cut(text, []byte(l.separator)); !found {
			err = fmt.Errorf("no key separator %q in the line", l.separator)
		}
	}
	m.Headers = append(m.Headers, l.headers...)
	return m, err
}
