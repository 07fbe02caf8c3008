package rpc

import (
	"sync"

	"github.com/nnid/nnid/core/fault"
)

// instances are the opened components of one service.
type instances[T any] struct {
	mu   sync.Mutex
	last uint64
	open map[uint64]*instance[T]
}

type instance[T any] struct {
	value T
	calls sync.WaitGroup
}

func (s *instances[T]) add(value T) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[uint64]*instance[T]{}
	}
	s.last++
	s.open[s.last] = &instance[T]{value: value}
	return s.last
}

// use returns an instance for one call; done must be called after it.
func (s *instances[T]) use(id uint64) (i *instance[T], done func(), err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, ok := s.open[id]
	if !ok {
		return nil, nil, fault.New(fault.Internal, "there is no open instance %d; it was closed, or never opened", id)
	}
	i.calls.Add(1)
	return i, i.calls.Done, nil
}

// remove takes an instance out and returns it when the calls under way have ended.
func (s *instances[T]) remove(id uint64) (T, bool) {
	s.mu.Lock()
	i, ok := s.open[id]
	delete(s.open, id)
	s.mu.Unlock()
	if !ok {
		var none T
		return none, false
	}
	i.calls.Wait()
	return i.value, true
}

// drain removes all instances, not waiting for calls.
func (s *instances[T]) drain() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var values []T
	for _, i := range s.open {
		values = append(values, i.value)
	}
	s.open = nil
	return values
}
