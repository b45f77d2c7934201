// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Owned} from "../src/Owned.sol";
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
        registry.recordTurn(turn, "data", "proofs", _model(turn), _model(turn - 1), "reveal");
    }

    function _model(uint64 turn) private pure returns (bytes32) {
        return turn == 0 ? bytes32(0) : keccak256(abi.encode("model", turn));
    }

    function _owner() private {
        vm.prank(address(timelock));
    }

    function _run(uint64 turn) private {
        _open(turn);
        _close(turn);
        _record(turn);
    }

    function _refuseStage(uint64 turn, Registry.Stage stage, Registry.Stage required) private {
        vm.expectRevert(abi.encodeWithSelector(Registry.WrongStage.selector, turn, stage, required));
    }

    function test_a_new_policy_has_the_next_version() public {
        vm.assertEq(registry.policyHash(), POLICY);
        vm.assertEq(uint256(registry.policyVersion()), 1);
        vm.expectEmit(address(registry));
        emit Registry.PolicySet(2, SECRET);
        _owner();
        registry.setPolicy(SECRET);
        vm.assertEq(registry.policyHash(), SECRET);
        vm.assertEq(uint256(registry.policyVersion()), 2);
        vm.assertEq(registry.policyAt(1), POLICY);
        vm.assertEq(registry.policyAt(2), SECRET);
    }

    function test_a_turn_keeps_the_policy_it_was_opened_under() public {
        _open(1);
        _owner();
        registry.setPolicy(SECRET);
        _close(1);
        _open(2);
        vm.assertEq(uint256(registry.turnOf(1).policyVersion), 1);
        vm.assertEq(uint256(registry.turnOf(2).policyVersion), 2);
    }

    function test_the_empty_policy_is_refused() public {
        vm.expectRevert(Registry.ZeroHash.selector);
        _owner();
        registry.setPolicy(0);
    }

    function test_only_the_operator_runs_turns() public {
        bytes[4] memory calls = [
            abi.encodeCall(Registry.openTurn, (1, SECRET)),
            abi.encodeCall(Registry.registerBatch, (1, ROOT, 1, 1)),
            abi.encodeCall(Registry.closeTurn, (1)),
            abi.encodeCall(Registry.recordTurn, (1, 0, 0, 0, 0, 0))
        ];
        address[2] memory others = [stranger, address(timelock)];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < others.length; ++j) {
                vm.expectRevert(abi.encodeWithSelector(Registry.NotOperator.selector, others[j], operator));
                _call(others[j], calls[i]);
            }
        }
    }

    function test_only_the_owner_rules() public {
        bytes[4] memory calls = [
            abi.encodeCall(Registry.setPolicy, (SECRET)),
            abi.encodeCall(Registry.setOperator, (stranger)),
            abi.encodeCall(Registry.setHead, (SECRET)),
            abi.encodeCall(Registry.registerModel, (SECRET, 0, 0, address(0), new bytes32[](0)))
        ];
        address[2] memory others = [stranger, operator];
        for (uint256 i = 0; i < calls.length; ++i) {
            for (uint256 j = 0; j < others.length; ++j) {
                vm.expectRevert(abi.encodeWithSelector(Owned.NotOwner.selector, others[j], address(timelock)));
                _call(others[j], calls[i]);
            }
        }
    }

    function _call(address sender, bytes memory data) private {
        vm.prank(sender);
        (bool done, bytes memory reason) = address(registry).call(data);
        if (!done) {
            assembly ("memory-safe") {
                revert(add(reason, 32), mload(reason))
            }
        }
    }

    function test_the_owner_replaces_the_operator_everywhere_at_once() public {
        vm.expectEmit(address(registry));
        emit Registry.OperatorSet(ada);
        _owner();
        registry.setOperator(ada);
        vm.prank(ada);
        registry.openTurn(1, SECRET);
        vm.prank(ada);
        treasury.fundPool(1, 1);
        vm.prank(ada);
        rewards.postRoot(1, 0, 0, 0, 1, 1, 0, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.NotOperator.selector, operator, ada));
        _close(1);
    }

    function test_there_is_always_an_owner_and_an_operator() public {
        vm.expectRevert(Registry.NoOperator.selector);
        _owner();
        registry.setOperator(address(0));
        vm.expectRevert(Registry.NoOperator.selector);
        new Registry(address(timelock), address(0), POLICY);
        vm.expectRevert(Owned.NoOwner.selector);
        new Registry(address(0), operator, POLICY);
    }

    function test_a_turn_goes_through_its_stages() public {
        vm.expectEmit(address(registry));
        emit Registry.TurnOpened(1, SECRET, 0, 1);
        _open(1);
        Registry.Turn memory turn = registry.turnOf(1);
        vm.assertEq(uint256(turn.stage), uint256(Registry.Stage.Open));
        vm.assertEq(turn.commitment, SECRET);
        _register(1, ROOT, 2, 30);
        vm.warp(START + 60);
        vm.expectEmit(address(registry));
        emit Registry.TurnClosed(1, 30);
        _close(1);
        turn = registry.turnOf(1);
        vm.assertEq(uint256(turn.stage), uint256(Registry.Stage.Closed));
        vm.assertEq(uint256(turn.openedAt), START);
        vm.assertEq(uint256(turn.closedAt), START + 60);
        vm.assertEq(uint256(turn.records), 30);
        vm.expectEmit(address(registry));
        emit Registry.TurnRecorded(1, "data", "proofs", _model(1), 0, "reveal");
        _record(1);
        vm.assertEq(uint256(registry.turnOf(1).stage), uint256(Registry.Stage.Recorded));
        Registry.TurnRecord memory made = registry.recordOf(1);
        vm.assertEq(made.dataRoot, "data");
        vm.assertEq(made.proofsRoot, "proofs");
        vm.assertEq(made.modelHash, _model(1));
        vm.assertEq(made.parentModel, 0);
        vm.assertEq(made.reveal, "reveal");
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

    function _base(uint32 flags, uint32 royaltyPpm) private returns (bytes32 model) {
        model = keccak256(abi.encode("base", flags, royaltyPpm));
        _owner();
        registry.registerModel(model, flags, royaltyPpm, royaltyPpm == 0 ? address(0) : bob, new bytes32[](0));
    }

    uint32 private constant ALL = 7;

    function _two(bytes32 one, bytes32 other) private pure returns (bytes32[] memory parents) {
        parents = new bytes32[](2);
        (parents[0], parents[1]) = (one, other);
    }

    function test_a_recorded_model_becomes_the_head_of_the_line() public {
        vm.expectEmit(address(registry));
        emit Registry.ModelRegistered(_model(1), 1, ALL, 0, 0, address(0), new bytes32[](0));
        vm.expectEmit(address(registry));
        emit Registry.HeadSet(_model(1));
        this.runFirst();
        _run(2);
        vm.assertEq(registry.head(), _model(2));
        (Registry.Model memory model, bytes32[] memory parents) = registry.modelOf(_model(2));
        vm.assertEq(uint256(model.turn), 2);
        vm.assertEq(uint256(model.registeredAt), START);
        vm.assertEq(uint256(model.flags), ALL);
        vm.assertEq(parents.length, 1);
        vm.assertEq(parents[0], _model(1));
    }

    /// @dev Its own transaction, so that one expectation covers all its steps.
    function runFirst() external {
        _run(1);
    }

    function test_a_model_grows_from_the_head_alone() public {
        _run(1);
        _open(2);
        _close(2);
        vm.expectRevert(abi.encodeWithSelector(Registry.NotTheHead.selector, bytes32(0), _model(1)));
        vm.prank(operator);
        registry.recordTurn(2, "data", "proofs", _model(2), 0, "reveal");
        vm.assertEq(uint256(registry.turnOf(2).stage), uint256(Registry.Stage.Closed));
        vm.expectRevert(abi.encodeWithSelector(Registry.ModelKnown.selector, _model(1)));
        vm.prank(operator);
        registry.recordTurn(2, "data", "proofs", _model(1), _model(1), "reveal");
        vm.expectRevert(Registry.ZeroHash.selector);
        vm.prank(operator);
        registry.recordTurn(2, "data", "proofs", 0, _model(1), "reveal");
    }

    function test_the_owner_lets_the_line_go_on_from_another_model() public {
        _run(1);
        bytes32 base = _base(ALL | 256, 30_000);
        vm.expectEmit(address(registry));
        emit Registry.HeadSet(base);
        _owner();
        registry.setHead(base);
        _open(2);
        _close(2);
        vm.prank(operator);
        registry.recordTurn(2, "data", "proofs", _model(2), base, "reveal");
        _run(3);
        (Registry.Model memory model,) = registry.modelOf(_model(3));
        vm.assertEq(uint256(model.flags), ALL | 256); // inherited
        vm.assertEq(uint256(model.royaltyPpm), 0);
        vm.assertEq(uint256(model.lineagePpm), 30_000); // and owed by all that grew from it
        _owner();
        registry.setHead(_model(1));
        vm.assertEq(registry.head(), _model(1));
    }

    function test_an_unknown_model_is_no_head() public {
        vm.expectRevert(abi.encodeWithSelector(Registry.ModelUnknown.selector, SECRET));
        _owner();
        registry.setHead(SECRET);
    }

    function test_a_model_that_forbids_derivatives_is_no_head_and_no_parent() public {
        bytes32 closed = _base(5, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.LicenseExceedsParent.selector, 2, closed, 5));
        _owner();
        registry.setHead(closed);
        bytes32 open = _base(ALL, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.LicenseExceedsParent.selector, 1, closed, 5));
        _owner();
        registry.registerModel(SECRET, 1, 0, address(0), _two(open, closed));
    }

    function test_a_foreign_model_brings_its_license_and_its_royalty() public {
        (bytes32 one, bytes32 other) = (_base(ALL, 20_000), _base(3 | 512, 30_000));
        vm.expectEmit(address(registry));
        emit Registry.ModelRegistered(SECRET, 0, 3 | 512, 10_000, 50_000, ada, _two(one, other));
        _owner();
        registry.registerModel(SECRET, 3 | 512, 10_000, ada, _two(one, other));
        (Registry.Model memory model, bytes32[] memory parents) = registry.modelOf(SECRET);
        vm.assertEq(uint256(model.turn), 0);
        vm.assertEq(uint256(model.lineagePpm), 50_000);
        vm.assertEq(model.beneficiary, ada);
        vm.assertEq(parents.length, 2);
        vm.assertEq(registry.head(), 0); // until the owner says so
    }

    function test_a_license_permits_nothing_that_a_parent_forbids(uint32 flags, uint32 parentFlags) public {
        uint32 known = ALL | 256 | 512;
        (flags, parentFlags) = (flags & known, parentFlags & known | 2);
        bytes32 parent = _base(parentFlags, 0);
        bool within = flags & ALL & ~parentFlags == 0 && parentFlags & (256 | 512) & ~flags == 0;
        if (!within) {
            vm.expectRevert(abi.encodeWithSelector(Registry.LicenseExceedsParent.selector, flags, parent, parentFlags));
        }
        _owner();
        registry.registerModel(SECRET, flags, 0, address(0), _two(parent, parent));
    }

    function test_flags_are_those_that_are_defined() public {
        vm.expectRevert(abi.encodeWithSelector(Registry.UnknownFlags.selector, 8, ALL | 256 | 512));
        _owner();
        registry.registerModel(SECRET, 8, 0, address(0), new bytes32[](0));
    }

    function test_a_royalty_has_a_beneficiary_and_the_other_way_round() public {
        vm.expectRevert(abi.encodeWithSelector(Registry.BeneficiaryMismatch.selector, address(0), 1));
        _owner();
        registry.registerModel(SECRET, ALL, 1, address(0), new bytes32[](0));
        vm.expectRevert(abi.encodeWithSelector(Registry.BeneficiaryMismatch.selector, ada, 0));
        _owner();
        registry.registerModel(SECRET, ALL, 0, ada, new bytes32[](0));
    }

    function test_royalties_along_the_lineage_stay_within_the_price() public {
        (bytes32 one, bytes32 other) = (_base(ALL, 600_000), _base(ALL, 300_000));
        vm.expectRevert(abi.encodeWithSelector(Registry.RoyaltiesExceedPrice.selector, 1_000_001, 1_000_000));
        _owner();
        registry.registerModel(SECRET, ALL, 100_001, ada, _two(one, other));
        _owner();
        registry.registerModel(SECRET, ALL, 100_000, ada, _two(one, other));
        vm.expectRevert(abi.encodeWithSelector(Registry.RoyaltiesExceedPrice.selector, 2_000_001, 1_000_000));
        _owner();
        registry.registerModel(ROOT, ALL, 1, ada, _two(SECRET, SECRET));
    }

    function test_any_royalty_is_judged_without_overflow(uint32 royaltyPpm) public {
        royaltyPpm = uint32(_within(royaltyPpm, 1_000_001, type(uint32).max));
        vm.expectRevert(abi.encodeWithSelector(Registry.RoyaltiesExceedPrice.selector, royaltyPpm, 1_000_000));
        _owner();
        registry.registerModel(SECRET, ALL, royaltyPpm, ada, new bytes32[](0));
    }

    function test_parents_are_known_and_few() public {
        vm.expectRevert(abi.encodeWithSelector(Registry.ModelUnknown.selector, ROOT));
        _owner();
        registry.registerModel(SECRET, ALL, 0, address(0), _two(ROOT, ROOT));
        bytes32 base = _base(ALL, 0);
        bytes32[] memory many = new bytes32[](17);
        for (uint256 i = 0; i < many.length; ++i) {
            many[i] = base;
        }
        vm.expectRevert(abi.encodeWithSelector(Registry.TooManyParents.selector, 17, 16));
        _owner();
        registry.registerModel(SECRET, ALL, 0, address(0), many);
        assembly ("memory-safe") {
            mstore(many, 16)
        }
        _owner();
        registry.registerModel(SECRET, ALL, 0, address(0), many);
    }

    function test_a_model_is_registered_once() public {
        bytes32 base = _base(ALL, 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.ModelKnown.selector, base));
        _base(ALL, 0);
    }

    function test_an_owner_revokes_for_herself_alone() public {
        vm.expectEmit(address(registry));
        emit Registry.Revoked(ROOT, ada, uint64(START));
        vm.prank(ada);
        registry.revoke(ROOT);
        vm.assertEq(uint256(registry.revokedAt(ROOT, ada)), START);
        vm.prank(stranger);
        registry.revoke(ROOT); // anybody may name any contribution: it says nothing about ada's
        vm.assertEq(uint256(registry.revokedAt(ROOT, bob)), 0);
        vm.expectRevert(abi.encodeWithSelector(Registry.AlreadyRevoked.selector, ROOT, ada, START));
        vm.prank(ada);
        registry.revoke(ROOT);
    }

    function _revocation(uint256 key, uint256 deadline) private view returns (bytes memory) {
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(key, registry.revocationDigest(ROOT, ada, deadline));
        return abi.encodePacked(r, s, v);
    }

    function test_an_owner_revokes_by_signature() public {
        bytes memory signature = _revocation(ADA_KEY, START);
        vm.prank(stranger);
        registry.revokeBySignature(ROOT, ada, START, signature);
        vm.assertEq(uint256(registry.revokedAt(ROOT, ada)), START);
        vm.expectRevert(abi.encodeWithSelector(Registry.AlreadyRevoked.selector, ROOT, ada, START));
        registry.revokeBySignature(ROOT, ada, START, signature);
    }

    function test_a_revocation_is_signed_by_its_owner_for_its_contribution_and_in_time() public {
        bytes memory signature = _revocation(BOB_KEY, START);
        vm.expectRevert(abi.encodeWithSelector(Registry.RevocationSignatureInvalid.selector, ROOT, ada));
        registry.revokeBySignature(ROOT, ada, START, signature);
        signature = _revocation(ADA_KEY, START);
        vm.expectRevert(abi.encodeWithSelector(Registry.RevocationSignatureInvalid.selector, SECRET, ada));
        registry.revokeBySignature(SECRET, ada, START, signature);
        vm.expectRevert(abi.encodeWithSelector(Registry.RevocationSignatureInvalid.selector, ROOT, bob));
        registry.revokeBySignature(ROOT, bob, START, signature);
        vm.warp(START + 1);
        vm.expectRevert(abi.encodeWithSelector(Registry.RevocationExpired.selector, START, START + 1));
        registry.revokeBySignature(ROOT, ada, START, signature);
    }

    function test_a_revocation_is_good_for_one_chain_and_one_dao() public {
        bytes memory signature = _revocation(ADA_KEY, START);
        Registry other = new Registry(address(timelock), operator, POLICY);
        vm.expectRevert(abi.encodeWithSelector(Registry.RevocationSignatureInvalid.selector, ROOT, ada));
        other.revokeBySignature(ROOT, ada, START, signature);
        vm.chainId(1);
        vm.expectRevert(abi.encodeWithSelector(Registry.RevocationSignatureInvalid.selector, ROOT, ada));
        registry.revokeBySignature(ROOT, ada, START, signature);
    }

    function test_the_signed_words_are_those_of_the_protocol() public view {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Rodagila"),
                keccak256("1"),
                1919902817,
                address(registry)
            )
        );
        bytes32 words = keccak256(
            abi.encode(keccak256("Revocation(bytes32 contributionId,address owner,uint256 deadline)"), ROOT, ada, 9)
        );
        vm.assertEq(registry.revocationDigest(ROOT, ada, 9), keccak256(abi.encodePacked(hex"1901", domain, words)));
    }
}
