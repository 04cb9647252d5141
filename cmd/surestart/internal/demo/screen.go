package demo

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/seed3893aba4/surestart/fsm"
	"github.com/seed3893aba4/surestart/fsm/flight"
	"github.com/seed3893aba4/surestart/internal/oneline"
	"github.com/seed3893aba4/surestart/internal/terminal"
)

// A Screen is where the demo shows what it does.
type Screen struct {
	out    io.Writer
	colour bool
	began  time.Time
}

// NewScreen returns a Screen that writes to out, in colour or not.
func NewScreen(out io.Writer, colour bool) *Screen {
	return &Screen{out: out, colour: colour, began: time.Now()}
}

func (s *Screen) paint(code, text string) string { return terminal.Paint(s.colour, code, text) }

// line writes whole numbers with their thousands apart, for %v.
func (s *Screen) line(format string, args ...any) {
	for i, arg := range args {
		if n, ok := arg.(int); ok {
			args[i] = terminal.Commas(n)
		}
	}
	fmt.Fprintf(s.out, format+"\n", args...)
}

func (s *Screen) title(text string) { s.line("\n%s", s.paint(terminal.Bold, text)) }

func (s *Screen) act(n int, format string, args ...any) {
	s.line("  "+s.paint(terminal.Bold, fmt.Sprint(n))+"  "+format, args...)
}

// introduce names the system that comes next. Before the first it explains the demo.
func (s *Screen) introduce(cfg Config, flag bool) {
	if flag {
		s.title("A naive flag, through the same storm (its source: surestart help naive)")
		return
	}
	s.line("%v starts and stops one Kafka producer while its broker is down, hangs, works and", s.paint(terminal.Bold, "surestart demo"))
	s.line("hangs again: %v callers start it at once, 8 writers send %v messages through it.", cfg.Callers, cfg.Messages)
	s.line("Then a producer with a \"started\" flag, as people write it, goes through the same.")
	s.line("Cluster: %v. A proxy in front of each broker goes down, hangs and counts.", cmp.Or(strings.Join(cfg.Brokers, ","), "an embedded broker (kfake)"))
	title := "surestart: each change of its state, as it happens"
	if cfg.Break != "" {
		title = fmt.Sprintf("surestart, broken on purpose (%s)", cfg.Break)
	}
	s.title(title)
}

// note is a line below an act.
func (s *Screen) note(format string, args ...any) { s.line("     "+format, args...) }

func (s *Screen) transition(t flight.Transition) {
	why := t.Event.String()
	if t.Event == fsm.EventFailed {
		why += ": " + clip(t.Cause[strings.LastIndex(t.Cause, ": ")+1:], 60) // the innermost error
	}
	s.note("%7.3f s  %8s → %-8s  %s", t.At.Sub(s.began).Seconds(), t.From, t.To, why)
}

// clip shortens text to n characters, on one line.
func clip(text string, n int) string {
	text = strings.TrimSpace(oneline.Line(text))
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.2f s", d.Seconds()) }

// table prints the columns side by side.
func (s *Screen) table(cfg Config, columns []column) {
	const width = 46
	head := strings.Repeat(" ", width)
	for _, c := range columns {
		head += fmt.Sprintf("%14s", c.Name)
	}
	s.title(head)
	for i, row := range rows(cfg, columns[0]) {
		line := fmt.Sprintf("%-*s", width, row.what)
		for _, c := range columns {
			p, colour := rows(cfg, c)[i], terminal.Green
			if !p.kept {
				colour = terminal.Red
			}
			if c.Stuck != "" && p.value == "0" {
				p.value = "-" // not counted
			}
			line += s.paint(colour, fmt.Sprintf("%14s", p.value))
		}
		s.line("%s", strings.TrimRight(line+"   "+row.guarantee, " "))
	}
}

// verdict prints the last line, PASS, or FAIL and the guarantees that were not kept.
func (s *Screen) verdict(cfg Config, c column, took time.Duration) (kept bool) {
	s.line("")
	var names []string
	for _, p := range failures(cfg, c) {
		s.line("%s  %s: %s: %s", s.paint(terminal.Red, "✗"), p.guarantee, strings.TrimSpace(p.what), p.value)
		if !slices.Contains(names, p.guarantee) {
			names = append(names, p.guarantee)
		}
	}
	if names != nil {
		s.line("%s: %s (%.1f s)", s.paint(terminal.Red, "FAIL"), strings.Join(names, ", "), took.Seconds())
		return false
	}
	s.line("%s: surestart kept every promise; %s messages, none lost, none twice, nothing left open (%.1f s)", s.paint(terminal.Green, "PASS"), terminal.Commas(c.Acknowledged), took.Seconds())
	return true
}
