// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {Registry} from "../src/Registry.sol";
import {DaoFixture} from "./DaoFixture.sol";

contract RegistryTest is DaoFixture {
    bytes32 private constant SECRET = keccak256("commitment");
    bytes32 private constant ROOT = keccak256("batch");

    function _open(uint64 turn) private {
        vm.prank(operator);
        registry.openTurn(turn, SECRET);
    }

    function _register(uint64 turn, bytes32 root, uint32 contributions, uint32 records) private {
        vm.prank(operator);
        registry.registerBatch(turn, root, contributions, records);
    }

    function _close(uint64 turn) private {
        vm.prank(operator);
        registry.closeTurn(turn);
    }

    function _record(uint64 turn) private {
        vm.prank(operator);
        registry.recordTurn(turn, "data", "proofs", "model", "parent", "reveal");
    }

    function _refuseStage(uint64 turn, Registry.Stage stage, Registry.Stage required) private {
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongStage.selector, turn, stage, required));
    }

    function test_a_new_policy_has_the_next_version() public {
        vm.assertEq(registry.policyHash(), POLICY);
        vm.assertEq(uint256(registry.policyVersion()), 1);
        vm.expectEmit(address(registry));
        emit Registry.PolicySet(2, SECRET);
        vm.prank(operator);
        registry.setPolicy(SECRET);
        vm.assertEq(registry.policyHash(), SECRET);
    }

    function test_the_empty_policy_is_refused() public {
        vm.expectRevert(Registry.ZeroHash.selector);
        vm.prank(operator);
        registry.setPolicy(0);
    }

    function test_only_the_owner_writes() public {
        bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, stranger);
        bytes[5] memory calls = [
            abi.encodeCall(Registry.setPolicy, (SECRET)),
            abi.encodeCall(Registry.openTurn, (1, SECRET)),
            abi.encodeCall(Registry.registerBatch, (1, ROOT, 1, 1)),
            abi.encodeCall(Registry.closeTurn, (1)),
            abi.encodeCall(Registry.recordTurn, (1, 0, 0, 0, 0, 0))
        ];
        for (uint256 i = 0; i < calls.length; ++i) {
            vm.prank(stranger);
            (bool done, bytes memory reason) = address(registry).call(calls[i]);
            vm.assertFalse(done);
            vm.assertEq(keccak256(reason), keccak256(refusal));
        }
    }

    function test_a_turn_goes_through_its_stages() public {
        _open(1);
        Registry.Turn memory turn = registry.turnOf(1);
        vm.assertEq(uint256(turn.stage), uint256(Registry.Stage.Open));
        vm.assertEq(turn.commitment, SECRET);
        _register(1, ROOT, 2, 30);
        vm.warp(START + 60);
        _close(1);
        turn = registry.turnOf(1);
        vm.assertEq(uint256(turn.stage), uint256(Registry.Stage.Closed));
        vm.assertEq(uint256(turn.openedAt), START);
        vm.assertEq(uint256(turn.closedAt), START + 60);
        vm.assertEq(uint256(turn.records), 30);
        vm.expectEmit(address(registry));
        emit Registry.TurnRecorded(1, "data", "proofs", "model", "parent", "reveal");
        _record(1);
        vm.assertEq(uint256(registry.turnOf(1).stage), uint256(Registry.Stage.Recorded));
        vm.assertEq(registry.recordOf(1).parentModel, "parent");
    }

    function test_turns_follow_one_another(uint64 turn) public {
        vm.assume(turn != 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.TurnOutOfOrder.selector, turn, 1));
        _open(turn);
    }

    function test_a_turn_opens_once() public {
        _open(1);
        vm.expectRevert(abi.encodeWithSelector(Registry.TurnOutOfOrder.selector, 1, 2));
        _open(1);
    }

    function test_the_next_turn_waits_for_the_last_to_close() public {
        _open(1);
        _refuseStage(1, Registry.Stage.Open, Registry.Stage.Closed);
        _open(2);
        _close(1);
        _open(2);
        vm.assertEq(uint256(registry.lastTurn()), 2);
    }

    function test_a_turn_commits_to_something() public {
        vm.expectRevert(Registry.ZeroHash.selector);
        vm.prank(operator);
        registry.openTurn(1, 0);
    }

    function test_batches_take_their_places_over_all_turns() public {
        _open(1);
        _register(1, "a", 2, 30);
        _register(1, "b", 1, 5);
        _close(1);
        _open(2);
        vm.expectEmit(address(registry));
        emit Registry.BatchRegistered(2, 3, "c", 4, 7, 35);
        _register(2, "c", 4, 7);
        vm.assertEq(uint256(registry.nextPlace()), 42);
        vm.assertEq(uint256(registry.lastBatch()), 3);
        Registry.Batch memory batch = registry.batchOf("b");
        vm.assertEq(uint256(batch.turn), 1);
        vm.assertEq(uint256(batch.number), 2);
        vm.assertEq(uint256(batch.firstPlace), 30);
        vm.assertEq(uint256(registry.turnOf(2).firstPlace), 35);
    }

    function test_a_batch_is_registered_once() public {
        _open(1);
        _register(1, ROOT, 2, 30);
        vm.expectRevert(abi.encodeWithSelector(Registry.BatchKnown.selector, ROOT, 1));
        _register(1, ROOT, 2, 30);
        _close(1);
        _open(2);
        vm.expectRevert(abi.encodeWithSelector(Registry.BatchKnown.selector, ROOT, 1));
        _register(2, ROOT, 1, 1);
    }

    function test_a_batch_holds_something() public {
        _open(1);
        vm.expectRevert(abi.encodeWithSelector(Registry.BatchEmpty.selector, ROOT, 0, 1));
        _register(1, ROOT, 0, 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.BatchEmpty.selector, ROOT, 1, 0));
        _register(1, ROOT, 1, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.BatchEmpty.selector, 0, 1, 1));
        _register(1, 0, 1, 1);
    }

    function test_batches_need_an_open_turn() public {
        _refuseStage(1, Registry.Stage.None, Registry.Stage.Open);
        _register(1, ROOT, 1, 1);
        _open(1);
        _close(1);
        _refuseStage(1, Registry.Stage.Closed, Registry.Stage.Open);
        _register(1, ROOT, 1, 1);
    }

    function test_a_turn_closes_once() public {
        _open(1);
        _close(1);
        _refuseStage(1, Registry.Stage.Closed, Registry.Stage.Open);
        _close(1);
    }

    function test_a_turn_is_recorded_once_after_it_closed() public {
        _open(1);
        _refuseStage(1, Registry.Stage.Open, Registry.Stage.Closed);
        _record(1);
        _close(1);
        _record(1);
        _refuseStage(1, Registry.Stage.Recorded, Registry.Stage.Closed);
        _record(1);
    }
}
