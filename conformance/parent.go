package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/internal/history"
)

// outcome is the result of a schedule.
type outcome struct {
	moves   []move
	at      []int // the number of events before each move
	history history.History
	stack   string // of goroutines that are left or hang
	said    string // the last output of a process that died
}

// driver runs schedules in a child process. It starts a new one when that has exited.
type driver struct {
	test   string // the name of the test whose call of Test the child serves
	number int
	caps   Capability
	waits  time.Duration // the longest time between two messages of the child
	locks  bool          // outside a bubble
	runs   int
	starts int
	spun   int // schedules that were never quiet

	cmd    *exec.Cmd
	in     io.Closer
	send   *json.Encoder
	lines  chan line
	stderr *beginning
}

// run runs one schedule.
func (d *driver) run(moves []move, words []uint32) (*outcome, error) {
	for range 2 { // a second time if it must be run outside a bubble
		o, how, err := d.once(request{moves, words, d.caps, d.locks})
		if err != nil {
			return nil, err
		}
		if how != ended {
			d.close()
		}
		if how != locks {
			d.runs++
			return o, nil
		}
		d.locks = true
	}
	return nil, errors.New("the child asks twice to be run outside a bubble")
}

func (d *driver) once(q request) (*outcome, end, error) {
	if d.cmd == nil {
		if err := d.start(); err != nil {
			return nil, "", err
		}
	}
	if err := d.send.Encode(q); err != nil {
		return nil, "", fmt.Errorf("the child process takes no schedule: %w\n%s", err, d.stderr)
	}
	o := &outcome{}
	for {
		select {
		case l, ok := <-d.lines:
			switch {
			case !ok:
				if o.moves == nil {
					return nil, "", fmt.Errorf("the child process died before the schedule began:\n%s", d.wait())
				}
				o.said = d.wait()
				o.history = append(o.history, history.Event{Kind: history.Crashed})
				return o, gone, nil
			case l.Move != nil:
				o.moves, o.at = append(o.moves, *l.Move), append(o.at, len(o.history))
			case l.Event != nil:
				o.history = append(o.history, *l.Event)
			case l.End != "":
				o.stack = l.Stack
				if l.End == wrong {
					return nil, "", errors.New(l.Stack)
				}
				if l.End == spins {
					d.spun++
					o.history = append(o.history, history.Event{Kind: history.Spins})
				}
				return o, l.End, nil
			}
		case <-time.After(d.waits):
			d.cmd.Process.Kill()
		}
	}
}

func (d *driver) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	var pattern []string
	for _, name := range strings.Split(d.test, "/") {
		pattern = append(pattern, "^"+regexp.QuoteMeta(name)+"$")
	}
	cmd := exec.Command(exe, "-test.run="+strings.Join(pattern, "/"), "-test.timeout=0")
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d %s", childEnv, d.number, d.test),
		strings.TrimSpace("GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")) // otherwise, under -race, each child sleeps for a second at its end
	d.stderr = &beginning{}
	cmd.Stdout, cmd.Stderr = d.stderr, d.stderr
	requests, in, err := os.Pipe()
	if err != nil {
		return err
	}
	out, lines, err := os.Pipe()
	if err != nil {
		return errors.Join(err, requests.Close(), in.Close())
	}
	cmd.ExtraFiles = []*os.File{requests, lines}
	err = cmd.Start()
	requests.Close()
	lines.Close()
	if err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	d.starts++
	d.cmd, d.in, d.send, d.lines = cmd, in, json.NewEncoder(in), make(chan line, 64)
	go func(to chan<- line) {
		defer out.Close()
		defer close(to)
		for from := json.NewDecoder(out); ; {
			var l line
			if from.Decode(&l) != nil {
				return
			}
			to <- l
		}
	}(d.lines)
	return nil
}

// wait waits for the end of the child, and returns its output.
func (d *driver) wait() string {
	err := d.cmd.Wait()
	return strings.TrimSpace(fmt.Sprintf("%s\n%v", d.stderr, err))
}

// close ends the child.
func (d *driver) close() {
	if d.cmd == nil {
		return
	}
	d.in.Close()
	for range d.lines { // a child that writes must not block
	}
	d.cmd.Wait()
	d.cmd = nil
}

// beginning keeps the first 16 KiB that are written: they contain the message of a panic.
type beginning struct{ bytes.Buffer }

func (t *beginning) Write(p []byte) (int, error) {
	t.Buffer.Write(p[:min(len(p), max(0, 16<<10-t.Len()))])
	return len(p), nil
}
