package partition

import (
	"fmt"
	"slices"

	"github.com/seed3893aba4/surestart/internal/core"
	"github.com/seed3893aba4/surestart/spec"
	model "github.com/seed3893aba4/surestart/spec/delivery"
)

// The fields that are compared in addition to the variables of the TLA+.
const (
	varTwice   = "twice"   // a verdict that comes a second time, or of a message that was not admitted
	varRequest = "request" // what Take and Send return
	varChanged = "changed" // whether the batch must be encoded anew
	varField   = "field"   // a field of a core that follows from the variables
	varRefused = "refused" // what the error of an event says that is not allowed
)

// compare compares the cores, and the outcome of step st, with the model's states before and after
// it.
func (p *Pair) compare(st Step, before *model.State) error {
	return p.agree(st, before, p.led(st, before))
}

// agree compares the cores with the model's state. ds are other differences.
func (p *Pair) agree(st Step, before *model.State, ds []spec.Difference) error {
	if p.twice != "" {
		return p.differ(st, before, spec.Difference{Var: varTwice, Want: "one verdict for each message, in their order", Got: p.twice})
	}
	want, got := p.wanted(), p.state()
	ds = p.rest(ds)
	if want == got && ds == nil {
		return nil
	}
	return p.differ(st, before, slices.Concat(model.Diff(want, got), ds)...)
}

// wanted returns the model's state as a core knows it. A core does not know whether the leader has
// handled a request.
func (p *Pair) wanted() model.State {
	s := p.Model
	for i := range s.Partitions {
		pt := &s.Partitions[i]
		if _, answered := pt.Wire.Answer(); answered {
			pt.Wire = model.WireWritten
		}
		for m := range pt.Tried { // of those that are decided nothing is
			if pt.Verdict[m] != model.VerdictNone {
				pt.Tried[m] = model.TriedNo
			}
		}
	}
	return s
}

// state returns the model's state that the cores show. The environment is the model's.
func (p *Pair) state() model.State {
	s := p.Model
	if p.ids != nil {
		f := fieldsOfIDs(p.ids)
		s.ID = uint8(f.newest.id)
		for i := range f.all {
			s.Highest[i], s.Floor[i] = int8(f.all[i].highest), int8(f.all[i].floor)
		}
	}
	s.Run = model.Run(fieldsOf(p.cores[0]).run)
	for i, c := range p.cores {
		f, pt := fieldsOf(c), &s.Partitions[i]
		pt.Admitted = uint8(f.window.end - 1)
		pt.Queue, pt.Batch, pt.Wire = model.Messages{}, model.Batch{}, model.WireIdle
		copy(pt.Verdict[:], p.verdict[i])
		pt.Tried = [len(pt.Tried)]model.Tried{}
		doubt := f.state >= core.DoubtWaiting && f.state <= core.DoubtAwaiting
		queued, batched := 0, 0
		for m := f.window.first; m < f.window.end; m++ {
			mark := f.window.ring[int(m)&(len(f.window.ring)-1)]
			switch {
			case mark == gone:
				continue
			case m-f.window.first >= f.span:
				pt.Queue[min(queued, len(pt.Queue)-1)] = uint8(m)
				queued++
				continue
			}
			pt.Batch.Messages[min(batched, len(pt.Queue)-1)] = uint8(m)
			batched++
			if at := (int(m) - 1) & 3; mark == open && doubt {
				pt.Tried[at] = model.TriedUnsure
			} else if mark == open && f.refused {
				pt.Tried[at] = model.TriedRefused
			}
		}
		pt.Batch.Maybe = doubt
		if batched > 0 {
			pt.Batch.Seq = int8(f.base)
		}
		switch f.state {
		case core.Writing, core.DoubtWriting:
			pt.Wire = model.WireWriting
		case core.Awaiting, core.DoubtAwaiting:
			pt.Wire = model.WireWritten
		}
		if f.id != nil {
			pt.Pid, pt.Epoch, pt.Sequence = uint8(f.id.id), int8(f.epoch), int8(f.sequence)
		}
	}
	return s
}

// rest appends the fields that state does not show, where they differ from what follows from the
// model.
func (p *Pair) rest(ds []spec.Difference) []spec.Difference {
	field := func(i int, name string, want, got any) {
		if want != got {
			ds = append(ds, spec.Difference{Var: varField, Index: fmt.Sprintf("p%d.%s", i+1, name), Want: fmt.Sprint(want), Got: fmt.Sprint(got)})
		}
	}
	var shared *ids
	if p.ids != nil {
		shared = fieldsOfIDs(p.ids)
		if len(shared.all) != int(p.Model.ID) || shared.newest != shared.all[len(shared.all)-1] {
			field(-1, "ids", p.Model.ID, len(shared.all))
		}
		if want := p.limits(); shared.limits != want {
			field(-1, "ids.limits", want, shared.limits)
		}
		for k, one := range shared.all {
			if one.id != int64(k)+1 {
				field(-1, "ids.all.id", k+1, one.id)
			}
		}
	}
	for i, c := range p.cores {
		f, pt := fieldsOf(c), &p.Model.Partitions[i]
		batch, queue := pt.Batch.Messages[:pt.Batch.Messages.Len()], pt.Queue[:pt.Queue.Len()]
		undecided := pt.Undecided()
		w := fields{
			mode: p.mode(), ids: shared, id: f.id, epoch: -1, run: uint8(p.Model.Run), size: len(batch), queued: len(queue), sequence: -1,
			window: window{ring: f.window.ring, first: core.Message(pt.Admitted) + 1, end: core.Message(pt.Admitted) + 1},
			out:    f.out, runs: f.runs, // what was returned, which led compares
		}
		if len(queue) > 0 {
			w.window.first = core.Message(queue[0])
		}
		if len(batch) > 0 {
			w.window.first = core.Message(batch[0])
			w.span = core.Message(batch[len(batch)-1]-batch[0]) + 1
			w.state = core.Waiting + core.State(min(pt.Wire, model.WireWritten))
			if pt.Batch.Maybe {
				w.state += core.DoubtWaiting - core.Waiting
			}
		}
		for _, m := range batch {
			if undecided.Has(m) {
				w.undecided++
				w.refused = pt.Tried[m-1] == model.TriedRefused
			}
		}
		if w.undecided == 0 && len(batch) > 0 && !pt.Batch.Maybe {
			w.refused = f.refused // it has no effect, and Position has it
		}
		if f.id != nil {
			w.epoch, w.sequence, w.base = int16(pt.Epoch), int64(pt.Sequence), int64(pt.Batch.Seq)
			if k := slices.Index(shared.all, f.id); k+1 != int(pt.Pid) {
				field(i, "id", pt.Pid, f.id.id)
			}
		}
		if same(&w, f) {
			if !marked(f, pt) {
				field(i, "window.ring", pt, f.window.ring)
			}
			continue
		}
		field(i, "mode", w.mode, f.mode)
		field(i, "ids", w.ids, f.ids)
		field(i, "epoch", w.epoch, f.epoch)
		field(i, "run", w.run, f.run)
		field(i, "state", w.state, f.state)
		field(i, "window.first", w.window.first, f.window.first)
		field(i, "window.end", w.window.end, f.window.end)
		field(i, "span", w.span, f.span)
		field(i, "size", w.size, f.size)
		field(i, "undecided", w.undecided, f.undecided)
		field(i, "queued", w.queued, f.queued)
		field(i, "refused", w.refused, f.refused)
		field(i, "base", w.base, f.base)
		field(i, "sequence", w.sequence, f.sequence)
	}
	return ds
}

// same compares all fields except the slices; w has the slices of f.
func same(w, f *fields) bool {
	return w.mode == f.mode && w.ids == f.ids && w.id == f.id && w.epoch == f.epoch && w.run == f.run && w.state == f.state &&
		w.window.first == f.window.first && w.window.end == f.window.end &&
		w.span == f.span && w.size == f.size && w.undecided == f.undecided && w.queued == f.queued && w.refused == f.refused &&
		w.base == f.base && w.sequence == f.sequence
}

// marked reports whether the ring has of each message what the model has of it, and nothing else.
func marked(f *fields, pt *model.Partition) bool {
	batch, queue, undecided := pt.Batch.Messages.Set(), pt.Queue.Set(), pt.Undecided()
	n := 0
	for m := uint8(1); m <= pt.Admitted; m++ {
		want := uint8(gone)
		switch {
		case queue.Has(m), batch.Has(m) && undecided.Has(m):
			want = open
		case batch.Has(m):
			want = decided
		}
		if len(f.window.ring) == 0 {
			if want != gone {
				return false
			}
			continue
		}
		if f.window.ring[int(m)&(len(f.window.ring)-1)] != want {
			return false
		}
		if want != gone {
			n++
		}
	}
	for _, mark := range f.window.ring {
		if mark != gone {
			n--
		}
	}
	return n == 0
}

// led returns the differences between the outcome of the event and what follows from the model.
func (p *Pair) led(st Step, before *model.State) (ds []spec.Difference) {
	add := func(name string, part int, want, got any) {
		ds = append(ds, spec.Difference{Var: name, Index: fmt.Sprintf("p%d", part+1), Want: fmt.Sprint(want), Got: fmt.Sprint(got)})
	}
	for i, c := range p.cores {
		if want, got := p.batch(i), c.Batch(); !equal(want, got) {
			add(varRequest, i, want, got)
		}
	}
	part := int(st.Partition)
	was, is := &before.Partitions[part], &p.Model.Partitions[part]
	switch st.Action {
	case model.Take, model.TakeInNextEpoch, model.Send:
		if want := p.batch(part); !equal(want, p.request) {
			add(varRequest, part, want, p.request)
		}
	case model.Cut, model.Stop, model.StopEnds, model.Start, model.NewID: // of no partition
	default:
		if changed := was.HasBatch() && is.HasBatch() && was.Batch.Messages != is.Batch.Messages; p.changed != changed {
			add(varChanged, part, changed, p.changed)
		}
	}
	return ds
}

// batch returns the request with the batch of a partition, as the model has it.
func (p *Pair) batch(i int) core.Request {
	pt := &p.Model.Partitions[i]
	r := core.Request{ID: -1, Epoch: -1, Sequence: -1, Len: pt.Batch.Messages.Len(), Again: pt.Batch.Maybe}
	if p.ids != nil {
		r.ID, r.Epoch, r.Sequence = int64(pt.Pid), int16(pt.Epoch), int32(pt.Batch.Seq)
	}
	p.runs = p.runs[:0]
	for _, m := range pt.Batch.Messages[:r.Len] {
		if last := len(p.runs) - 1; last >= 0 && p.runs[last].Last == core.Message(m)-1 {
			p.runs[last].Last++
		} else {
			p.runs = append(p.runs, core.Run{First: core.Message(m), Last: core.Message(m)})
		}
	}
	r.Messages = p.runs
	return r
}

func equal(a, b core.Request) bool {
	return a.ID == b.ID && a.Epoch == b.Epoch && a.Sequence == b.Sequence && a.Len == b.Len && a.Again == b.Again && slices.Equal(a.Messages, b.Messages)
}
