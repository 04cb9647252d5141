package core

// none is no epoch, and no sequence number.
const none = -1

// IDs are the producer ids of a producer, for as long as it lives. They are all that its partitions share.
type IDs struct {
	limits Limits
	newest *identity
	all    []*identity // the newest is the last
}

// identity is one producer id.
type identity struct {
	id      int64
	highest int16 // its highest epoch, over all partitions and starts
	floor   int16 // the highest epoch that a partition without a core may have used
}

// NewIDs returns the ids of a producer, with its first. An id that the cluster gives begins with epoch 0.
func NewIDs(limits Limits, id int64) *IDs {
	ids := &IDs{limits: limits}
	ids.add(id)
	return ids
}

func (ids *IDs) add(id int64) {
	ids.newest = &identity{id: id, floor: none}
	ids.all = append(ids.all, ids.newest)
}

// Due reports whether the epochs of the newest id are running out. Ask the cluster for another id then, and call [IDs.NewID].
func (ids *IDs) Due() bool { return ids.newest.highest >= ids.limits.EpochLimit }

// NewID adds an id that the cluster has given. Each partition changes to it by itself, directly after an acknowledged
// batch, because a new id does not fence the requests of an old one (D4). NewID is refused unless an id is due.
func (ids *IDs) NewID(id int64) error {
	if !ids.Due() {
		return NotAllowed{EventNewID, Empty}
	}
	ids.add(id)
	return nil
}

// Start starts the producer again after a stop. It needs all partitions that use these ids: each begins another epoch,
// above all that any of them has used, because old requests may still arrive (D3, D4). Start is refused unless all are
// stopped. Without idempotence ids is nil.
func (ids *IDs) Start(partitions ...*Partition) error {
	for _, p := range partitions {
		if p.run != stopped {
			return NotAllowed{EventStart, p.State()}
		}
	}
	if ids != nil {
		for _, i := range ids.all {
			i.floor = i.highest
		}
	}
	for _, p := range partitions {
		p.run = started
		p.epoch, p.sequence = none, none
	}
	return nil
}

// next returns the epoch for a partition that cannot stay in its own. If highest is above used, that is highest;
// otherwise highest + 1. The leader then refuses requests of older epochs (D3, D4).
func (i *identity) next(used int16) int32 {
	if used == none {
		used = i.floor
	}
	if i.highest > used {
		return int32(i.highest)
	}
	return int32(i.highest) + 1
}
