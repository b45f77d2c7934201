// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Hashes} from "@openzeppelin/contracts/utils/cryptography/Hashes.sol";
import {Escrow} from "../src/Escrow.sol";
import {IPredicates} from "../src/IPredicates.sol";
import {Predicates} from "../src/Predicates.sol";
import {TaskPay} from "../src/TaskPay.sol";
import {EscrowFixture} from "./EscrowFixture.sol";
import {BlockingToken} from "./MarketFixture.sol";

interface Roll {
    function roll(uint256 number) external;
}

/// @notice One batch whose pay has two leaves: 60 to the stranger and 10 to the provider's account, of a budget of 100.
contract TaskPayTest is EscrowFixture {
    bytes32 private constant ROOT = keccak256("responses");
    bytes32 private constant PUBLIC = keccak256("public file");
    uint96 private constant PAID = 70e6;
    TaskPay private pay;

    function setUp() public override {
        super.setUp();
        pay = new TaskPay(escrow);
        Roll(address(vm)).roll(100);
    }

    function _batch() private view returns (Escrow.Job memory job) {
        job = _panel();
        job.provider = address(pay);
    }

    function _id(Escrow.Job memory job) private view returns (bytes32) {
        return escrow.jobId(job);
    }

    function _approved(bytes32 structHash) private view returns (bytes memory) {
        bytes32 digest = pay.digestOf(structHash);
        address[] memory signers = new address[](2);
        bytes[] memory signatures = new bytes[](2);
        for (uint256 i = 0; i < 2; ++i) {
            (signers[i], signatures[i]) = (_evaluator(i), _sign(keys[i], digest));
        }
        return abi.encode(2, _members(), signers, signatures);
    }

    function _committed(bytes32 id, bytes32 root, uint32 responses) private view returns (bytes memory) {
        return _approved(keccak256(abi.encode(pay.COMMITMENTS_TYPEHASH(), id, root, responses)));
    }

    function _outcome(Escrow.Job memory job) private view returns (TaskPay.Outcome memory) {
        return TaskPay.Outcome(
            Hashes.commutativeKeccak256(pay.payLeaf(_id(job), stranger, 60e6), pay.payLeaf(_id(job), provider, 10e6)),
            PAID,
            PUBLIC
        );
    }

    function _signed(Escrow.Job memory job, TaskPay.Outcome memory what) private view returns (bytes memory) {
        return
            _approved(keccak256(abi.encode(pay.SETTLEMENT_TYPEHASH(), _id(job), what.root, what.paid, what.publicHash)));
    }

    function _ready() private returns (Escrow.Job memory job, bytes32 id) {
        job = _batch();
        id = _fund(job);
        pay.commit(job, ROOT, 9, _committed(id, ROOT, 9));
        Roll(address(vm)).roll(102);
    }

    function _settle(Escrow.Job memory job) private {
        TaskPay.Outcome memory what = _outcome(job);
        bytes memory acceptance = _byEvaluators(_who(0, 1), _one(job), _amounts(PAID));
        bytes memory approval = _signed(job, what);
        vm.prank(stranger);
        pay.settle(job, what, FOREVER, acceptance, approval);
    }

    function _leaves(bytes32 id)
        private
        view
        returns (address[] memory accounts, uint96[] memory amounts, bytes32[][] memory proofs)
    {
        accounts = new address[](2);
        (accounts[0], accounts[1]) = (stranger, provider);
        amounts = _amounts(60e6, 10e6);
        proofs = new bytes32[][](2);
        (proofs[0], proofs[1]) = (new bytes32[](1), new bytes32[](1));
        proofs[0][0] = pay.payLeaf(id, provider, 10e6);
        proofs[1][0] = pay.payLeaf(id, stranger, 60e6);
    }

    function _claim(bytes32 id) private {
        (address[] memory accounts, uint96[] memory amounts, bytes32[][] memory proofs) = _leaves(id);
        pay.claim(id, accounts, amounts, proofs);
    }

    function _claimNothing(bytes32 id) private {
        (address[] memory accounts, uint96[] memory amounts, bytes32[][] memory proofs) = _leaves(id);
        vm.expectRevert(TaskPay.NothingToDo.selector);
        pay.claim(id, accounts, amounts, proofs);
    }

    function test_a_batch_is_paid_and_the_rest_goes_back() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        vm.expectEmit(address(pay));
        emit TaskPay.BatchSettled(id, _outcome(job).root, PAID, AMOUNT - PAID, PUBLIC);
        _settle(job);
        vm.assertEq(token.balanceOf(address(pay)), PAID);
        vm.assertEq(token.balanceOf(buyer), MONEY - PAID);
        vm.assertEq(token.balanceOf(address(escrow)), 0);
        vm.expectEmit(address(pay));
        emit TaskPay.PayClaimed(id, stranger, 60e6);
        _claim(id);
        vm.assertEq(token.balanceOf(stranger), MONEY + 60e6);
        vm.assertEq(token.balanceOf(provider), MONEY + 10e6);
        vm.assertEq(pay.settledOf(id).left, 0);
        vm.assertTrue(pay.claimed(id, stranger));
        _claimNothing(id);
    }

    function test_responses_are_fixed_once_by_the_evaluators() public {
        Escrow.Job memory job = _batch();
        bytes32 id = _fund(job);
        bytes memory approval = _committed(id, ROOT, 9);
        vm.expectPartialRevert(Predicates.SignatureInvalid.selector);
        pay.commit(job, ROOT, 8, approval);
        vm.expectRevert(TaskPay.ZeroHash.selector);
        pay.commit(job, 0, 9, approval);
        vm.expectEmit(address(pay));
        emit TaskPay.ResponsesCommitted(id, ROOT, 9);
        pay.commit(job, ROOT, 9, approval);
        TaskPay.Fixed memory known = pay.commitmentsOf(id);
        vm.assertEq(known.root, ROOT);
        vm.assertEq(known.responses, 9);
        vm.assertEq(known.blockNumber, 100);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.CommitmentsKnown.selector, id));
        pay.commit(job, ROOT, 9, approval);
    }

    function test_the_buyer_signs_neither_step() public {
        Escrow.Job memory job = _batch();
        bytes32 id = _fund(job);
        address[] memory signers = new address[](1);
        bytes[] memory signatures = new bytes[](1);
        signers[0] = buyer;
        bytes32 what = keccak256(abi.encode(pay.COMMITMENTS_TYPEHASH(), id, ROOT, uint32(9)));
        signatures[0] = _sign(BUYER_KEY, pay.digestOf(what));
        bytes memory approval = abi.encode(0, new address[](0), signers, signatures);
        vm.expectRevert(TaskPay.EvaluatorsOnly.selector);
        pay.commit(job, ROOT, 9, approval);
    }

    function test_nothing_is_settled_before_the_seed_is_known() public {
        Escrow.Job memory job = _batch();
        bytes32 id = _fund(job);
        TaskPay.Outcome memory what = _outcome(job);
        bytes memory acceptance = _byEvaluators(_who(0, 1), _one(job), _amounts(PAID));
        bytes memory approval = _signed(job, what);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.TooEarly.selector, id, 2, 100));
        pay.settle(job, what, FOREVER, acceptance, approval);
        pay.commit(job, ROOT, 9, _committed(id, ROOT, 9));
        Roll(address(vm)).roll(101);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.TooEarly.selector, id, 102, 101));
        pay.settle(job, what, FOREVER, acceptance, approval);
        Roll(address(vm)).roll(102);
        pay.settle(job, what, FOREVER, acceptance, approval);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.SettlementKnown.selector, id));
        pay.settle(job, what, FOREVER, acceptance, approval);
    }

    function test_another_outcome_than_the_signed_one_is_refused() public {
        (Escrow.Job memory job,) = _ready();
        TaskPay.Outcome memory what = _outcome(job);
        bytes memory acceptance = _byEvaluators(_who(0, 1), _one(job), _amounts(PAID));
        bytes memory approval = _signed(job, what);
        what.root = keccak256("other");
        vm.expectPartialRevert(Predicates.SignatureInvalid.selector);
        pay.settle(job, what, FOREVER, acceptance, approval);
        what = _outcome(job);
        what.paid -= 1;
        vm.expectPartialRevert(Predicates.SignatureInvalid.selector);
        pay.settle(job, what, FOREVER, acceptance, approval);
        what = _outcome(job);
        what.publicHash = 0;
        vm.expectRevert(TaskPay.ZeroHash.selector);
        pay.settle(job, what, FOREVER, acceptance, approval);
    }

    function test_a_batch_in_which_nobody_is_paid_gives_everything_back() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        TaskPay.Outcome memory what = TaskPay.Outcome(0, 0, PUBLIC);
        pay.settle(job, what, FOREVER, "", _signed(job, what));
        vm.assertEq(token.balanceOf(buyer), MONEY);
        vm.assertEq(pay.settledOf(id).left, 0);
        (address[] memory accounts, uint96[] memory amounts, bytes32[][] memory proofs) = _leaves(id);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.ProofInvalid.selector, stranger, 60e6));
        pay.claim(id, accounts, amounts, proofs);
    }

    function test_who_shows_the_acceptance_first_spoils_nothing() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        _claimByEvaluators(_who(0, 1), job, PAID);
        vm.assertEq(token.balanceOf(address(pay)), PAID);
        _settle(job);
        _claim(id);
        vm.assertEq(token.balanceOf(buyer), MONEY - PAID);
    }

    function test_a_buyer_that_accepts_more_by_itself_has_it_back() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        _claim(job, AMOUNT);
        vm.assertEq(token.balanceOf(address(pay)), AMOUNT);
        _settle(job);
        vm.assertEq(token.balanceOf(buyer), MONEY - PAID);
        _claim(id);
        vm.assertEq(token.balanceOf(address(pay)), 0);
    }

    function test_a_whole_budget_is_paid() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        TaskPay.Outcome memory what = TaskPay.Outcome(pay.payLeaf(id, stranger, AMOUNT), AMOUNT, PUBLIC);
        bytes memory acceptance = _byEvaluators(_who(0, 1), _one(job), _amounts(AMOUNT));
        pay.settle(job, what, FOREVER, acceptance, _signed(job, what));
        address[] memory accounts = new address[](1);
        accounts[0] = stranger;
        pay.claim(id, accounts, _amounts(AMOUNT), new bytes32[][](1));
        vm.assertEq(token.balanceOf(stranger), MONEY + AMOUNT);
    }

    function test_leaves_cannot_take_more_than_was_paid() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        TaskPay.Outcome memory what = TaskPay.Outcome(pay.payLeaf(id, stranger, AMOUNT), PAID, PUBLIC);
        bytes memory acceptance = _byEvaluators(_who(0, 1), _one(job), _amounts(PAID));
        pay.settle(job, what, FOREVER, acceptance, _signed(job, what));
        address[] memory accounts = new address[](1);
        accounts[0] = stranger;
        vm.expectRevert(abi.encodeWithSelector(TaskPay.PaidExceeded.selector, AMOUNT, PAID));
        pay.claim(id, accounts, _amounts(AMOUNT), new bytes32[][](1));
    }

    function test_who_cannot_be_paid_is_left_out_and_paid_later() public {
        BlockingToken blocking = new BlockingToken(address(this));
        _setToken(blocking);
        (Escrow.Job memory job, bytes32 id) = _ready();
        _settle(job);
        blocking.setBlocked(provider, true);
        _claim(id);
        vm.assertFalse(pay.claimed(id, provider));
        vm.assertEq(pay.settledOf(id).left, 10e6);
        _claimNothing(id);
        blocking.setBlocked(provider, false);
        _claim(id);
        vm.assertTrue(pay.claimed(id, provider));
        vm.assertEq(token.balanceOf(address(pay)), 0);
    }

    function test_a_claim_needs_its_own_proof() public {
        (Escrow.Job memory job, bytes32 id) = _ready();
        _settle(job);
        (address[] memory accounts, uint96[] memory amounts, bytes32[][] memory proofs) = _leaves(id);
        amounts[0] += 1;
        vm.expectRevert(abi.encodeWithSelector(TaskPay.ProofInvalid.selector, stranger, amounts[0]));
        pay.claim(id, accounts, amounts, proofs);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.LengthDiffers.selector, 1, 2));
        pay.claim(id, accounts, _amounts(1), proofs);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.LengthDiffers.selector, 1, 2));
        pay.claim(id, accounts, _amounts(1, 2), new bytes32[][](1));
    }

    function test_only_a_job_of_this_contract_is_a_batch() public {
        Escrow.Job memory job = _panel();
        _fund(job);
        vm.expectRevert(abi.encodeWithSelector(TaskPay.NotBatch.selector, provider, bytes32(0)));
        pay.commit(job, ROOT, 9, "");
        job = _batch();
        job.splitKey = KEY;
        vm.expectRevert(abi.encodeWithSelector(TaskPay.NotBatch.selector, address(pay), KEY));
        pay.commit(job, ROOT, 9, "");
        vm.expectRevert(TaskPay.ZeroAddress.selector);
        new TaskPay(Escrow(address(0)));
    }
}
