// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC20Errors} from "@openzeppelin/contracts/interfaces/draft-IERC6093.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";
import {ERC3009} from "@openzeppelin/contracts/token/ERC20/extensions/draft-ERC3009.sol";
import {Bonds} from "../src/Bonds.sol";
import {Money} from "../src/Money.sol";
import {CallingToken} from "./CallingToken.sol";
import {DaoFixture} from "./DaoFixture.sol";
import {FeeToken} from "./FeeToken.sol";

contract BondsTest is DaoFixture {
    bytes32 private constant ID = keccak256("contribution");
    bytes32 private constant OTHER = keccak256("other contribution");

    function _leaf(uint256 slash) private view returns (bytes32) {
        return bonds.slashLeaf(1, ID, ada, slash);
    }

    function _otherLeaf(uint256 slash) private view returns (bytes32) {
        return bonds.slashLeaf(1, OTHER, bob, slash);
    }

    function _finalSlashes(uint256 slash, uint256 otherSlash) private {
        _postRoots(1, 0, _pair(_leaf(slash), _otherLeaf(otherSlash)), 0);
        _finish(1);
    }

    function _settle(uint256 slash, uint256 otherSlash) private {
        bonds.settleBond(1, ID, ada, slash, _one(_otherLeaf(otherSlash)));
    }

    /// @dev What is held beside the bond of root 1, which became the operator's credit.
    function _held() private view returns (uint256) {
        return token.balanceOf(address(bonds)) - bonds.creditOf(operator);
    }

    function test_it_knows_its_dao() public view {
        vm.assertEq(address(bonds.token()), address(token));
        vm.assertEq(bonds.treasury(), address(treasury));
        vm.assertEq(address(bonds.rewards()), address(rewards));
    }

    function test_a_bond_is_pulled_by_the_owners_signature() public {
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectEmit(address(bonds));
        emit Bonds.BondPosted(ID, ada, 5e6);
        vm.prank(stranger);
        bonds.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
        vm.assertEq(bonds.bondOf(ID, ada), 5e6);
        vm.assertEq(token.balanceOf(ada), 999_995e6);
        vm.assertEq(token.balanceOf(address(bonds)), 5e6);
    }

    function test_a_bond_is_posted_once() public {
        _postBond(ADA_KEY, ID, 5e6);
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectRevert(abi.encodeWithSelector(Bonds.BondKnown.selector, ID, ada, 5e6));
        bonds.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
    }

    function test_a_bond_is_of_something() public {
        bytes memory signature = _bondSignature(ADA_KEY, ID, 0);
        vm.expectRevert(Bonds.ZeroAmount.selector);
        bonds.postBond(ID, ada, 0, 0, type(uint256).max, signature);
    }

    function test_a_bond_is_within_what_the_owner_has() public {
        bytes memory signature = _bondSignature(ADA_KEY, ID, 2_000_000e6);
        vm.expectPartialRevert(IERC20Errors.ERC20InsufficientBalance.selector);
        bonds.postBond(ID, ada, 2_000_000e6, 0, type(uint256).max, signature);
        vm.assertEq(bonds.bondOf(ID, ada), 0);
    }

    function test_a_signature_binds_its_contribution_and_amount(bytes32 id, uint128 amount) public {
        vm.assume(amount != 0);
        vm.assume(id != ID || amount != 5e6);
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        bonds.postBond(id, ada, amount, 0, type(uint256).max, signature);
        vm.assertEq(token.balanceOf(address(bonds)), 0);
    }

    function test_nobody_blocks_a_contribution_by_a_bond_under_its_id() public {
        _postBond(BOB_KEY, ID, 1);
        _postBond(ADA_KEY, ID, 5e6);
        vm.assertEq(bonds.bondOf(ID, ada), 5e6);
        vm.assertEq(bonds.bondOf(ID, bob), 1);
    }

    function _two() private view returns (Bonds.BondAuthorization[] memory rows) {
        rows = new Bonds.BondAuthorization[](2);
        (rows[0].contributionId, rows[0].owner, rows[0].amount) = (ID, ada, 5e6);
        (rows[1].contributionId, rows[1].owner, rows[1].amount) = (OTHER, bob, 6e6);
        rows[0].signature = _bondSignature(ADA_KEY, ID, 5e6);
        rows[1].signature = _bondSignature(BOB_KEY, OTHER, 6e6);
        (rows[0].validBefore, rows[1].validBefore) = (type(uint256).max, type(uint256).max);
    }

    function test_a_batch_of_bonds_leaves_out_those_held() public {
        Bonds.BondAuthorization[] memory rows = _two();
        _postBond(ADA_KEY, ID, 5e6);
        bonds.postBonds(rows);
        bonds.postBonds(rows);
        vm.assertEq(bonds.bondOf(ID, ada), 5e6);
        vm.assertEq(bonds.bondOf(OTHER, bob), 6e6);
        vm.assertEq(token.balanceOf(address(bonds)), 11e6);
    }

    function test_a_batch_with_a_forged_bond_is_refused() public {
        Bonds.BondAuthorization[] memory rows = _two();
        rows[1].amount = 7e6;
        vm.expectRevert(ERC3009.ERC3009InvalidSignature.selector);
        bonds.postBonds(rows);
        vm.assertEq(bonds.bondOf(ID, ada), 0);
        vm.assertEq(token.balanceOf(address(bonds)), 0);
    }

    function test_money_that_takes_a_fee_is_refused() public {
        FeeToken fee = new FeeToken();
        token = fee;
        _launch(WINDOW, 5);
        fee.drip(ada, 100);
        fee.drip(operator, 100);
        bytes memory signature = _bondSignature(ADA_KEY, ID, 50);
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 49, 50));
        bonds.postBond(ID, ada, 50, 0, type(uint256).max, signature);
        Bonds.BondAuthorization[] memory rows = new Bonds.BondAuthorization[](1);
        rows[0] = Bonds.BondAuthorization(ID, ada, 50, 0, type(uint256).max, signature);
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 49, 50));
        bonds.postBonds(rows);
        vm.prank(operator);
        fee.approve(address(bonds), 5);
        vm.expectRevert(abi.encodeWithSelector(Money.AmountDiffers.selector, 4, 5));
        _postRoots(1, 0, 0, 0);
    }

    function test_a_bond_goes_back_less_its_slash() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        vm.expectEmit(address(bonds));
        emit Bonds.BondSettled(1, ID, ada, 3e6, 2e6);
        vm.prank(stranger);
        _settle(2e6, 0);
        vm.assertEq(token.balanceOf(ada), 999_998e6);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_002e6);
        vm.assertEq(bonds.bondOf(ID, ada), 0);
        vm.assertEq(_held(), 0);
    }

    function test_any_slash_up_to_the_bond_conserves_it(uint96 bond, uint96 slash) public {
        uint256 amount = _within(bond, 1, 1_000_000e6);
        uint256 cut = _within(slash, 0, amount);
        _postBond(ADA_KEY, ID, amount);
        _finalSlashes(cut, 0);
        _settle(cut, 0);
        vm.assertEq(token.balanceOf(ada), 1_000_000e6 - cut);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_000e6 + cut);
        vm.assertEq(_held(), 0);
    }

    function test_a_fault_is_slashed_once() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postBond(BOB_KEY, OTHER, 5e6);
        _finalSlashes(2e6, 0);
        _settle(2e6, 0);
        bytes32[] memory proof = _one(_otherLeaf(0));
        vm.expectRevert(abi.encodeWithSelector(Bonds.BondUnknown.selector, ID, ada));
        bonds.settleBond(1, ID, ada, 2e6, proof);
        // Nor can the owner's used authorisation bring the bond back for a second slash.
        bytes memory signature = _bondSignature(ADA_KEY, ID, 5e6);
        vm.expectRevert(abi.encodeWithSelector(ERC3009.ERC3009UsedAuthorization.selector, ada, ID));
        bonds.postBond(ID, ada, 5e6, 0, type(uint256).max, signature);
    }

    function test_another_slash_is_not_proven(uint256 slash) public {
        vm.assume(slash != 2e6);
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        bytes32[] memory proof = _one(_otherLeaf(0));
        vm.expectPartialRevert(Bonds.ProofInvalid.selector);
        bonds.settleBond(1, ID, ada, slash, proof);
        vm.assertEq(bonds.bondOf(ID, ada), 5e6);
    }

    function test_a_slash_is_that_owners_alone() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postBond(BOB_KEY, ID, 5e6); // bob names ada's contribution
        _finalSlashes(2e6, 0);
        bytes32[] memory proof = _one(_otherLeaf(0));
        vm.expectPartialRevert(Bonds.ProofInvalid.selector);
        bonds.settleBond(1, ID, bob, 2e6, proof);
    }

    function test_a_slash_beyond_the_bond_is_refused() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(5e6 + 1, 0);
        bytes32[] memory proof = _one(_otherLeaf(0));
        vm.expectRevert(abi.encodeWithSelector(Bonds.SlashExceedsBond.selector, ID, 5e6 + 1, 5e6));
        bonds.settleBond(1, ID, ada, 5e6 + 1, proof);
    }

    function test_a_whole_bond_can_be_lost() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(5e6, 0);
        _settle(5e6, 0);
        vm.assertEq(token.balanceOf(ada), 999_995e6);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_005e6);
    }

    function test_a_bond_waits_for_its_turn_to_be_final() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postRoots(1, 0, _leaf(0), 0);
        _passWindow();
        vm.expectRevert(abi.encodeWithSelector(Bonds.TurnNotFinal.selector, 1));
        bonds.settleBond(1, ID, ada, 0, new bytes32[](0));
        rewards.finalize(1);
        bonds.settleBond(1, ID, ada, 0, new bytes32[](0));
        vm.assertEq(token.balanceOf(ada), 1_000_000e6);
    }

    function test_an_older_final_root_still_settles() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        _postRoots(2, 0, 0, 0);
        _settle(2e6, 0);
        vm.assertEq(bonds.bondOf(ID, ada), 0);
    }

    function test_a_disabled_root_settles_nothing() public {
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        vm.prank(address(timelock));
        rewards.disable(1);
        bytes32[] memory proof = _one(_otherLeaf(0));
        vm.expectRevert(abi.encodeWithSelector(Bonds.TurnNotFinal.selector, 1));
        bonds.settleBond(1, ID, ada, 2e6, proof);
        vm.expectRevert(abi.encodeWithSelector(Bonds.TurnNotFinal.selector, 1));
        bonds.settleBonds(1, new Bonds.BondSettlement[](0));
    }

    function test_a_batch_settles_what_is_left() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postBond(BOB_KEY, OTHER, 5e6);
        _finalSlashes(2e6, 1e6);
        Bonds.BondSettlement[] memory rows = new Bonds.BondSettlement[](2);
        rows[0] = Bonds.BondSettlement(ID, ada, 2e6, _one(_otherLeaf(1e6)));
        rows[1] = Bonds.BondSettlement(OTHER, bob, 1e6, _one(_leaf(2e6)));
        _settle(2e6, 1e6);
        bonds.settleBonds(1, rows);
        bonds.settleBonds(1, rows);
        vm.assertEq(_held(), 0);
        vm.assertEq(token.balanceOf(bob), 999_999e6);
        vm.assertEq(token.balanceOf(address(treasury)), 1_000_003e6);
    }

    function test_a_batch_with_a_false_row_is_refused_whole() public {
        _postBond(ADA_KEY, ID, 5e6);
        _postBond(BOB_KEY, OTHER, 5e6);
        _finalSlashes(2e6, 1e6);
        Bonds.BondSettlement[] memory rows = new Bonds.BondSettlement[](2);
        rows[0] = Bonds.BondSettlement(ID, ada, 2e6, _one(_otherLeaf(1e6)));
        rows[1] = Bonds.BondSettlement(OTHER, bob, 0, _one(_leaf(2e6)));
        vm.expectPartialRevert(Bonds.ProofInvalid.selector);
        bonds.settleBonds(1, rows);
        vm.assertEq(bonds.bondOf(ID, ada), 5e6);
        vm.assertEq(_held(), 10e6);
    }

    function test_an_owner_gets_out_a_bond_that_no_turn_settles() public {
        _postBond(ADA_KEY, ID, 5e6);
        uint64 from = uint64(START) + bonds.RECLAIM_AFTER();
        vm.assertEq(uint256(bonds.reclaimableAt(ID, ada)), from);
        vm.warp(from - 1);
        vm.expectRevert(abi.encodeWithSelector(Bonds.NotReclaimable.selector, ID, ada, from, from - 1));
        bonds.reclaimBond(ID, ada);
        vm.warp(from);
        vm.expectEmit(address(bonds));
        emit Bonds.BondReclaimed(ID, ada, 5e6);
        vm.prank(stranger);
        bonds.reclaimBond(ID, ada);
        vm.assertEq(token.balanceOf(ada), 1_000_000e6);
        vm.assertEq(uint256(bonds.reclaimableAt(ID, ada)), 0);
        vm.expectRevert(abi.encodeWithSelector(Bonds.BondUnknown.selector, ID, ada));
        bonds.reclaimBond(ID, ada);
    }

    function test_only_the_rewards_contract_moves_the_bonds_of_roots() public {
        bytes memory refusal = abi.encodeWithSelector(Bonds.NotRewards.selector, stranger, address(rewards));
        vm.expectRevert(refusal);
        vm.prank(stranger);
        bonds.takeRootBond(ada, 1);
        vm.expectRevert(refusal);
        vm.prank(stranger);
        bonds.creditRootBond(stranger, 1);
    }

    function test_a_credit_is_put_down_again_or_taken_out() public {
        vm.expectEmit(address(bonds));
        emit Bonds.RootBondTaken(operator, ROOT_BOND, 0);
        _postRoots(1, 0, 0, 0);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 - ROOT_BOND);
        _passWindow();
        vm.expectEmit(address(bonds));
        emit Bonds.RootBondCredited(operator, ROOT_BOND);
        rewards.finalize(1);
        vm.assertEq(bonds.creditOf(operator), ROOT_BOND);
        vm.expectEmit(address(bonds));
        emit Bonds.RootBondTaken(operator, ROOT_BOND, ROOT_BOND);
        _postRoots(2, 0, 0, 0);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 - ROOT_BOND);
        vm.assertEq(bonds.creditOf(operator), 0);
        _finish(2);
        vm.expectEmit(address(bonds));
        emit Bonds.CreditWithdrawn(operator, ROOT_BOND);
        vm.prank(stranger);
        bonds.withdrawCredit(operator);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6);
        vm.assertEq(bonds.creditOf(operator), 0);
        vm.expectRevert(Bonds.ZeroAmount.selector);
        bonds.withdrawCredit(operator);
    }

    function test_a_credit_that_is_too_small_is_made_up(uint256 credit) public {
        credit = _within(credit, 1, 2 * ROOT_BOND);
        token.drip(address(bonds), credit);
        vm.prank(address(rewards));
        bonds.creditRootBond(operator, credit);
        _postRoots(1, 0, 0, 0);
        uint256 used = credit < ROOT_BOND ? credit : ROOT_BOND;
        vm.assertEq(bonds.creditOf(operator), credit - used);
        vm.assertEq(token.balanceOf(operator), 1_000_000e6 - ROOT_BOND + used);
    }

    function test_money_that_calls_back_finds_the_door_shut() public {
        CallingToken calling = new CallingToken();
        token = calling;
        _launch(WINDOW, 0);
        calling.drip(ada, 10e6);
        _postBond(ADA_KEY, ID, 5e6);
        _finalSlashes(2e6, 0);
        bytes memory settle = abi.encodeCall(bonds.settleBond, (1, ID, ada, 2e6, _one(_otherLeaf(0))));
        bytes[4] memory backs = [
            settle,
            abi.encodeCall(bonds.reclaimBond, (ID, ada)),
            abi.encodeCall(bonds.withdrawCredit, (ada)),
            abi.encodeCall(bonds.postBonds, (new Bonds.BondAuthorization[](0)))
        ];
        for (uint256 i = 0; i < backs.length; ++i) {
            calling.callBack(address(bonds), backs[i]);
            vm.expectRevert(ReentrancyGuardTransient.ReentrancyGuardReentrantCall.selector);
            _call(settle);
        }
        calling.callBack(address(0), "");
        _settle(2e6, 0);
        vm.assertEq(calling.balanceOf(ada), 8e6);
    }

    function _call(bytes memory data) private {
        (bool done, bytes memory reason) = address(bonds).call(data);
        if (done) return;
        assembly ("memory-safe") {
            revert(add(reason, 32), mload(reason))
        }
    }
}
